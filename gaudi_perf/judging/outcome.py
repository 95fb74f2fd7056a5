"""Whether the verdicts of a case fail its test and the session, with waivers and accepted levels applied."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.resolution import resolve
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.metrics import LATENCY
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Verdict, VerdictKind

_UNCLEAR = (VerdictKind.NO_BASELINE, VerdictKind.INCONCLUSIVE)
NO_WORSE = (VerdictKind.UNCHANGED, VerdictKind.IMPROVED)
"""Verdicts that rule a regression out."""


def fails(
    verdicts: Sequence[Verdict], waived: str, *, accept_regression: bool = False, require_baseline: bool = False
) -> bool:
    """Whether a case makes its test (or, at the end, the session) fail, by its verdicts as far as they gate."""
    kinds = [verdict.kind for verdict in verdicts]
    if VerdictKind.INVALID in kinds:
        return True
    if VerdictKind.REGRESSED in kinds:
        return not (waived or accept_regression)
    return require_baseline and any(kind in _UNCLEAR for kind in kinds)


def with_added(report: CaseReport, added: Verdict) -> CaseReport:
    """The report of a case that is REGRESSED only among all cases of its session.

    The added verdict takes the place of the test's on the same metric and baseline.
    """
    others = [other for other in report.verdicts if (other.metric, other.baseline) != (added.metric, added.baseline)]
    return msgspec.structs.replace(report, verdicts=[added, *others], waived="")


def why_passes(waivers: WaiverStore, baselines: BaselineStore, run: Run, verdicts: Sequence[Verdict]) -> str:
    """Why the regressions of a case pass; empty if there are none, or one does not. INVALID never passes.

    They pass by a waiver, which is of latencies, or where a slower level of the version of ``run``, the case's last
    one, was accepted. ``verdicts`` are the case's, as far as they gate.

    Raises:
        UserError: the waivers or a baseline are needed, and malformed.
    """
    regressed = [verdict for verdict in verdicts if verdict.kind == VerdictKind.REGRESSED]
    if not regressed or any(verdict.kind == VerdictKind.INVALID for verdict in verdicts):
        return ""
    reasons = [_waiver(waivers, run, one) or _acceptance(baselines, run, one, verdicts) for one in regressed]
    return reasons[0] if all(reasons) else ""


def _waiver(waivers: WaiverStore, run: Run, verdict: Verdict) -> str:
    if verdict.metric != LATENCY:
        return ""
    waiver = waivers.waived(run.case.id, run.device, run.stack, verdict.ratio)
    return "" if waiver is None else f"{waiver.reason} (until {waiver.until_stack})"


def _acceptance(baselines: BaselineStore, run: Run, verdict: Verdict, verdicts: Sequence[Verdict]) -> str:
    """Why the run's version may be slower than an earlier one: its own level was accepted, and is no worse now."""
    if verdict.role not in ("release", "side by side") or verdict.baseline_stack is None:
        return ""
    if verdict.baseline_stack.name == run.stack.name:  # side by side, two stacks of one version
        return ""
    own = [match.case for match in resolve(baselines, run).matches if match.role == "drift"]
    accepted = [
        item for case in own for item in case.accepted_regressions if item.against in ("", verdict.baseline_stack.name)
    ]
    if not accepted:
        return ""
    latest = accepted[-1]
    no_worse = any(one.role == "drift" and one.metric == verdict.metric and one.kind in NO_WORSE for one in verdicts)
    # Where few runs do not decide: a latency within the tolerance of what was accepted.
    as_accepted = (
        verdict.metric == LATENCY
        and verdict.ratio is not None
        and verdict.ratio <= latest.ratio * (1 + (verdict.tolerance or 0.0))
    )
    return f"accepted on {latest.accepted_on}: {latest.reason}" if no_worse or as_accepted else ""
