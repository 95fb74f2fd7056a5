"""What the verdicts of a case come to for its test, and for the session."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gaudi_perf.vocabulary.verdict import CaseReport, Verdict, VerdictKind

_UNCLEAR = (VerdictKind.NO_BASELINE, VerdictKind.INCONCLUSIVE)


def fails(
    verdicts: Sequence[Verdict], waived: str, *, accept_regression: bool = False, require_baseline: bool = False
) -> bool:
    """Whether a case that was judged makes its test (or, at the end, the session) fail.

    Args:
        verdicts: its own, as far as they gate.
        waived: why what regressed passes for now, or empty.
        accept_regression: whether slower levels are accepted, with a reason that is stored.
        require_baseline: whether a case without a clear verdict fails.
    """
    kinds = [verdict.kind for verdict in verdicts]
    if VerdictKind.INVALID in kinds:
        return True
    if VerdictKind.REGRESSED in kinds:
        return not (waived or accept_regression)
    return require_baseline and any(kind in _UNCLEAR for kind in kinds)


def with_added(report: CaseReport, added: Verdict, waived: str) -> CaseReport:
    """A case that is REGRESSED only among all cases of its session.

    Args:
        report: what its test said.
        added: the verdict that takes the place of the test's on the same metric and baseline.
        waived: why its regressions pass for now, or empty.
    """
    others = [other for other in report.verdicts if (other.metric, other.baseline) != (added.metric, added.baseline)]
    return msgspec.structs.replace(report, verdicts=[added, *others], waived=waived)
