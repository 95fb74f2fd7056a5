"""Properties of a case for JUnit XML, so that a CI's dashboard shows ratio, interval, verdict and baseline."""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_perf.reports.text import harmless
from gaudi_perf.reports.wording import reason
from gaudi_perf.vocabulary.verdict import Verdict

_LONGEST = 400


def case_properties(verdicts: Sequence[Verdict], waived: str = "") -> list[tuple[str, str]]:
    """Names and values of what the worst verdict of a case says; names are unique, values printable.

    XML 1.0 has no way to write most control characters, so they are shown as escapes.
    """
    if not verdicts:
        return []
    worst = verdicts[0]
    found: list[tuple[str, str | None]] = [
        ("ratio", _number(worst.ratio)),
        ("interval low", _number(worst.low)),
        ("interval high", _number(worst.high)),
        ("confidence", _number(worst.confidence)),
        ("smallest detectable slowdown", _number(worst.smallest_visible_slowdown)),
        ("baseline", worst.baseline),
        ("baseline version", worst.baseline_stack.version if worst.baseline_stack else None),
        ("baseline role", worst.role if worst.role != "none" else None),
        ("reason", reason(worst)),
        ("waived", waived),
    ]
    return [(f"gaudi-perf {name}", harmless(value, _LONGEST)) for name, value in found if value]


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"
