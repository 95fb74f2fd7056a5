"""Whether what regressed may pass: for now, by a waiver, or because somebody accepted it with a reason."""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.baseline import AcceptedRegression
from gaudi_perf.vocabulary.metrics import LATENCY
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind

_NO_WORSE = (VerdictKind.UNCHANGED, VerdictKind.IMPROVED)


def waived(waivers: WaiverStore, baselines: BaselineStore, run: Run, verdicts: Sequence[Verdict]) -> str:
    """Why the regressions of a case pass; empty if there are none, or one does not. INVALID never passes.

    Args:
        waivers: those that there are; they are of latencies.
        baselines: where a slower level of the run's own version may have been accepted.
        run: of the case; the last one, where there are several.
        verdicts: of the case, as far as they gate.

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
    if verdict.role != "release" or verdict.baseline_stack is None:
        return ""
    own = [match.case for match in baselines.resolve(run).matches if match.role == "drift"]
    accepted = [
        item for case in own for item in case.accepted_regressions if item.against in ("", verdict.baseline_stack.name)
    ]
    no_worse = any(one.role == "drift" and one.metric == verdict.metric and one.kind in _NO_WORSE for one in verdicts)
    if not accepted or not (no_worse or _as_accepted(verdict, accepted[-1])):
        return ""
    return f"accepted on {accepted[-1].accepted_on}: {accepted[-1].reason}"


def _as_accepted(verdict: Verdict, accepted: AcceptedRegression) -> bool:
    """Whether a latency is within the tolerance of what was accepted, where few runs cannot tell."""
    return (
        verdict.metric == LATENCY
        and verdict.ratio is not None
        and verdict.ratio <= accepted.ratio * (1 + (verdict.tolerance or 0.0))
    )
