"""How numbers are written for people: percent, changes, intervals, p values, durations, counts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_MOST_SHARE, _MOST_CHANGE = 10.0, 1000.0
"""Two noisy runs leave almost any ratio possible; the digits of such a bound mean nothing."""


def percent(share: float) -> str:
    """A measured share: ``3.1 %``, ``120 %``; one that says no more than that it is large, as ``over 1000 %``."""
    return f"over {_MOST_SHARE * 100:.0f} %" if share > _MOST_SHARE else f"{_digits(share)} %"


def percent_set(share: float) -> str:
    """A share that somebody chose (a tolerance, an error rate), without digits that were not given: ``5 %``."""
    return f"{share * 100:.4g} %"


def change(ratio: float) -> str:
    """A ratio as a change: ``+9.6 %`` is slower, ``-3.0 %`` faster."""
    if ratio - 1 > _MOST_CHANGE:
        return f"over +{_MOST_CHANGE * 100:.0f} %"
    digits = _digits(ratio - 1)
    return f"{digits} %" if digits.startswith("-") else f"+{digits} %"


def slower_or_faster(ratio: float, metric: str = "latency") -> str:
    """A ratio in words that fit the metric: ``9.6 % slower``, ``9.6 % more`` of memory."""
    more, less = ("more", "less") if metric == "memory" else ("slower", "faster")
    return f"{change(ratio).replace('+', '').replace('-', '')} {more if ratio >= 1 else less}"


def interval(low: float, high: float) -> str:
    """An interval of ratios as changes: ``[+4.1 %, +15.2 %]``."""
    return f"[{change(low)}, {change(high)}]"


def p_value(p: float) -> str:
    """A p value: ``p < 0.001``, ``p = 0.013``, ``p = 0.20``."""
    if p < 0.0005:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def seconds(value: float) -> str:
    """A duration with three significant digits: ``1.07 s``, ``213 ms``, ``8.40 ms``, ``95.0 µs``."""
    units = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
    factor, unit = next((pair for pair in units if value >= pair[0] * 0.9995), units[-1])
    scaled = value / factor
    decimals = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
    return f"{scaled:.{decimals}f} {unit}"


def long_time(seconds: float) -> str:
    """A time that somebody waits: ``40 seconds``, ``12 minutes``, ``2.5 hours``."""
    if seconds < 90:
        return counted(max(round(seconds), 1), "second")
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def minute(time: str) -> str:
    """A time of a document (ISO 8601, UTC) to the minute: ``2026-01-31 23:59``."""
    return time[:16].replace("T", " ")


def rate(bytes_per_s: float) -> str:
    """A bandwidth: ``3.35 TB/s``, ``89.4 GB/s``."""
    return f"{bytes_per_s / 1e12:.3g} TB/s" if bytes_per_s >= 1e12 else f"{bytes_per_s / 1e9:.3g} GB/s"


def throughput(tokens_per_s: float) -> str:
    """New tokens a second, in a column that says so: ``93.5``, ``14968.6``."""
    return f"{tokens_per_s:.1f}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number of things: ``1 run``, ``2 runs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def span(texts: Iterable[str], unit: str = "") -> str:
    """The first and the last of texts in order, or the one that all are: ``2 to 5 MHz``, ``2 MHz``."""
    first, *rest = texts
    words = first if not rest or rest[-1] == first else f"{first} to {rest[-1]}"
    return f"{words} {unit}".rstrip()


def short(text: str) -> str:
    """A name that somebody else gave, for a sentence."""
    return text if len(text) <= 200 else f"{text[:80]}... ({len(text)} letters)"


def escaped(text: str, keep: str = "") -> str:
    """A text whose characters that control, direct, break lines or mean nothing are shown as escapes, unless kept; and
    with an escape in what a CI takes for a command in a log: ``::set-output name=a::b``, ``##[error]``, ``##vso[...]``.
    """
    if not text.isprintable():
        # What is not printable but a separator of words (Zs) is a blank, for instance before a colon in French.
        harmless = (one.isprintable() or one in keep or unicodedata.category(one) == "Zs" for one in text)
        text = "".join(
            one if fine else one.encode("unicode_escape").decode() for one, fine in zip(text, harmless, strict=True)
        )
    return _CI_COMMAND.sub(lambda found: f"\\x{ord(found[0]):x}", text) if "::" in text or "##" in text else text


# A command of GitHub's stands at the start of a line, where a word can come by wrapping, and even the rest of a word
# that is longer than a line; those of Azure and TeamCity stand anywhere.
_CI_COMMAND = re.compile(
    r"(?<!\S):(?=:)|:(?=:(?:set|add|remove|save|stop|debug|notice|warning|error|group|endgroup|echo)\b[^:]*::)"
    r"|#(?=#\w*\[)"
)


def _digits(share: float) -> str:
    value = share * 100
    return f"{round(value, 1) + 0.0:.1f}" if abs(value) < 99.95 else f"{value:.0f}"  # + 0.0: no -0.0
