"""Whether what regressed may pass for now."""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.measurement import Run
from gaudi_perf.vocabulary.metrics import LATENCY
from gaudi_perf.vocabulary.verdict import Verdict, VerdictKind


def waived(waivers: WaiverStore, run: Run, verdicts: Sequence[Verdict]) -> str:
    """Why the regressions of a case pass for now, and until when; empty if there are none, or one does not.

    A waiver is of a latency: what else regressed, and an INVALID measurement, never passes.

    Args:
        waivers: those that there are.
        run: of the case; the last one, where there are several.
        verdicts: of the case, as far as they gate.

    Raises:
        UserError: the waivers are needed, and malformed.
    """
    regressed = [verdict for verdict in verdicts if verdict.kind == VerdictKind.REGRESSED]
    if any(verdict.kind == VerdictKind.INVALID for verdict in verdicts):
        return ""
    if any(verdict.metric != LATENCY for verdict in regressed):
        return ""
    found = [waivers.waived(run.case.id, run.device, run.stack, verdict.ratio) for verdict in regressed]
    reasons = [f"{waiver.reason} (until {waiver.until_stack})" for waiver in found if waiver is not None]
    return reasons[0] if reasons and len(reasons) == len(regressed) else ""
