"""Which regressions a session opens, continues and closes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from gaudi_perf.judging.outcome import NO_WORSE
from gaudi_perf.judging.trends import changes_of, trends
from gaudi_perf.vocabulary.regression import OpenRegression, RegressionKey
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Verdict, VerdictKind

NoticeKind = Literal["opened", "open", "undecided", "recovered", "accepted"]


@dataclass(frozen=True)
class Finding:
    """A case of a session that came to its end, with its last run on the stack in question."""

    report: CaseReport
    run: Run

    @property
    def key(self) -> RegressionKey:
        """What its regression is known by."""
        return (self.run.device.name, self.report.case.id, self.run.stack.name)


@dataclass(frozen=True)
class Notice:
    """What a night says of one regression.

    Attributes:
        verdict: the comparison that decides; of several, the one side by side.
        reason: why it is accepted; empty if it is not.
    """

    kind: NoticeKind
    regression: OpenRegression
    finding: Finding
    verdict: Verdict
    reason: str = ""

    @property
    def over(self) -> bool:
        """Whether it is known no longer."""
        return self.kind in ("recovered", "accepted")

    @property
    def news(self) -> bool:
        """Whether it began or ended."""
        return self.over or self.kind == "opened"


def notices(
    known: Mapping[RegressionKey, OpenRegression], findings: Iterable[Finding], history: Sequence[Run] = ()
) -> list[Notice]:
    """What a night's findings say of each regression, by device, case and stack.

    A case that the night did not judge says nothing: what was known of it stays known.

    Args:
        known: regressions that are open.
        findings: those of all sessions of the night.
        history: earlier runs, from which it is taken since when a case is slower.
    """
    groups: dict[RegressionKey, list[Finding]] = {}
    for finding in findings:
        if finding.report.verdicts:
            groups.setdefault(finding.key, []).append(finding)
    found = [_notice(known.get(key), those, history) for key, those in sorted(groups.items())]
    return [notice for notice in found if notice is not None]


def still_open(
    known: Mapping[RegressionKey, OpenRegression], found: Iterable[Notice]
) -> dict[RegressionKey, OpenRegression]:
    """The regressions that are open after a night."""
    left = dict(known)
    for notice in found:
        if notice.over:
            del left[notice.regression.key]
        else:
            left[notice.regression.key] = notice.regression
    return left


def _notice(known: OpenRegression | None, findings: Sequence[Finding], history: Sequence[Run]) -> Notice | None:
    waived = next((finding for finding in findings if finding.report.waived), None)
    if waived is not None:
        if known is None:
            return None
        return Notice("accepted", known, waived, waived.report.verdicts[0], waived.report.waived)
    all_of = [(verdict, finding) for finding in findings for verdict in finding.report.verdicts]
    regressed = [pair for pair in all_of if pair[0].kind is VerdictKind.REGRESSED]
    if regressed:
        verdict, finding = min(regressed, key=lambda pair: pair[0].role != "side by side")
        if known is not None:
            return Notice("open", replace(known, ratio=verdict.ratio or known.ratio), finding, verdict)
        return Notice("opened", _opened(finding, verdict, history), finding, verdict)
    if known is None:
        return None
    same = [pair for pair in all_of if (pair[0].metric, pair[0].baseline) == (known.metric, known.baseline)]
    over = [pair for pair in same or all_of if _rules_out(pair[0], known)]
    verdict, finding = (over or same or all_of)[0]
    return Notice("recovered" if over else "undecided", known, finding, verdict)


def _rules_out(verdict: Verdict, known: OpenRegression) -> bool:
    """Whether a verdict other than REGRESSED means that a regression is over: it is clear, or as far as the
    session shows the case is within the tolerance, and not as slow as it was.
    """
    if verdict.ratio is None or verdict.high is None or verdict.tolerance is None:
        return False
    return verdict.kind in NO_WORSE or (verdict.ratio <= 1 + verdict.tolerance and verdict.high < known.ratio)


def _opened(finding: Finding, verdict: Verdict, history: Sequence[Run]) -> OpenRegression:
    run = finding.run
    since, session_id = run.started_at, run.session_id
    trend = trends([one for one in history if one.comparability == run.comparability]).get(run.comparability)
    changes = () if trend is None else changes_of(trend).changes
    if changes and changes[-1].point.kind is VerdictKind.REGRESSED and changes[-1].since.stack.name == run.stack.name:
        since, session_id = changes[-1].since.started_at, changes[-1].since.session_id
    device, case, stack = finding.key
    return OpenRegression(
        device=device,
        case=case,
        stack=stack,
        metric=verdict.metric,
        baseline=verdict.baseline,
        ratio=verdict.ratio or 1.0,
        since=since,
        session_id=session_id,
    )
