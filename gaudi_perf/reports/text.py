"""Texts and numbers as people read them."""

from __future__ import annotations

import unicodedata

_LONGEST = 2000
_MOST_PERCENT, _MOST_SHARE = 100_000, 10.0
"""Two noisy runs leave almost any ratio possible; the digits of such a bound mean nothing."""
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode's categories of characters that control, direct, break lines or mean nothing."""


def harmless(text: str, longest: int = _LONGEST) -> str:
    """Text from a model, a log or a file, safe to show: control and direction characters become visible escapes."""
    shown = text if text.isprintable() else "".join(_visible(character) for character in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def seconds(value: float) -> str:
    """A duration with three significant digits: ``1.07 s``, ``213 ms``, ``8.40 ms``, ``95.0 µs``."""
    units = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
    factor, unit = next((pair for pair in units if value >= pair[0] * 0.9995), units[-1])
    scaled = value / factor
    decimals = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
    return f"{scaled:.{decimals}f} {unit}"


def change(ratio: float) -> str:
    """A ratio as a change: ``+9.6 %`` is slower, ``-3.0 %`` faster."""
    percent = (ratio - 1) * 100
    if percent > _MOST_PERCENT:
        return f"over +{_MOST_PERCENT} %"
    return f"{round(percent, 1) + 0.0:+.1f} %" if abs(percent) < 99.95 else f"{percent:+.0f} %"  # + 0.0: no -0.0


def slower_or_faster(ratio: float) -> str:
    """A ratio in words: ``9.6 % slower``."""
    percent = (ratio - 1) * 100
    return f"{abs(percent):.1f} % {'slower' if percent >= 0 else 'faster'}"


def share_of(value: float) -> str:
    """A share in percent: ``3.1 %``; one that says no more than that it is large, as ``over 1000 %``."""
    return f"{value * 100:.1f} %" if value <= _MOST_SHARE else f"over {_MOST_SHARE * 100:.0f} %"


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number of things: ``1 run``, ``2 runs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def interval(low: float, high: float) -> str:
    """An interval of ratios as changes: ``[+4.1 %, +15.2 %]``."""
    return f"[{change(low)}, {change(high)}]"


def encodable(text: str, encoding: str | None) -> str:
    """Text for a stream that may not know every character (an ASCII locale): plain characters stand in for others."""
    try:
        text.encode(encoding or "utf-8")
        return text
    except (UnicodeEncodeError, LookupError):
        plain = text.translate(_PLAIN)
        return plain.encode("ascii", "backslashreplace").decode()


_PLAIN = str.maketrans({"─": "-", "━": "-", "│": "|", "┼": "+", "●": "o", "◂": "<", "▸": ">", "µ": "u", "…": "~"})


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode()
