"""From documents to the data of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

import msgspec

import gaudi_perf
from gaudi_perf.judging.trends import Change, SessionLevel, Trend, changes_of
from gaudi_perf.reports.figures import Figures, figures
from gaudi_perf.reports.page.data import (
    LevelChange,
    Limit,
    Page,
    Pair,
    RoundsOfRun,
    ShownCase,
    ShownComparison,
    ShownTrend,
)
from gaudi_perf.reports.page.environments import Environments
from gaudi_perf.reports.page.facts import facts_of
from gaudi_perf.reports.page.stored import StoredBaselines
from gaudi_perf.reports.text import harmless
from gaudi_perf.reports.warnings import warnings_of
from gaudi_perf.reports.wording import (
    case_headline,
    error_rate,
    explanation,
    learned_noise,
    other_regressions,
    problems_of,
    smallest_visible,
    stacks_side_by_side,
    title,
)
from gaudi_perf.statistics.roofline import roofline_of
from gaudi_perf.vocabulary.baseline import CaseBaseline
from gaudi_perf.vocabulary.formats import interval, percent, rate, seconds, slower_or_faster
from gaudi_perf.vocabulary.metrics import LATENCY, TITLES, TOLERANCES
from gaudi_perf.vocabulary.run import Comparability, Run
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import CaseReport, Session, Verdict, VerdictKind

_DIGITS = 5
MOST_SEARCHED = 100
"""Changes of level are looked for in so many of the worst cases: that takes some 30 ms a case of 50 nights."""
_STATES = (
    ("failed", "not measured"),
    ("invalid", "INVALID"),
    ("regressed", "REGRESSED"),
    ("waived", "waived"),
    ("inconclusive", "INCONCLUSIVE"),
    ("no-baseline", "NO BASELINE"),
    ("improved", "IMPROVED"),
    ("unchanged", "UNCHANGED"),
    ("skipped", "skipped"),
)
"""Key and name of what a case can come to, worst first."""
_ORDER = {key: index for index, (key, _) in enumerate(_STATES)}


@dataclass(frozen=True)
class Documents:
    """What a page is made from.

    Attributes:
        runs: the runs of each measured case of the session, by case id.
        trends: what all sessions measured.
        partners: runs of the other stack of the session, by their ids, where two were measured side by side.
        commands: what to do next.
        notes: what could not be read.
    """

    session: Session
    runs: Mapping[str, Sequence[Run]]
    trends: Mapping[Comparability, Trend]
    baselines: StoredBaselines
    partners: Mapping[str, Run]
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()


def build_page(documents: Documents) -> Page:
    """The data of the page; cases are sorted worst first."""
    return _Builder(documents).page()


class _Builder:
    """Builds one page; stacks and environments that many cases share are kept once."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._environments = Environments()
        worst = sorted(documents.session.cases, key=_worst_first)[:MOST_SEARCHED]
        self._searched = {report.case.id for report in worst}
        stacks = {one.stack.name: one.stack for trend in documents.trends.values() for one in trend.sessions}
        for baseline in documents.baselines.by_label.values():
            stacks.setdefault(baseline.stack.name, baseline.stack)
        for runs in documents.runs.values():
            stacks.update({run.stack.name: run.stack for run in runs})
        self._stacks = sorted(stacks.values(), key=lambda stack: (stack.kind, stack.order))
        self._places = {stack.name: index for index, stack in enumerate(self._stacks)}

    def page(self) -> Page:
        documents = self._documents
        session = documents.session
        cases = sorted((self._case(report) for report in session.cases), key=_severity)
        counts = [(key, name, sum(1 for case in cases if case.state == key)) for key, name in _STATES]
        return Page(
            title=title(session),
            session=session.session_id,
            about=self._about(),
            stacks=[harmless(stack.name) for stack in self._stacks],
            counts=[count for count in counts if count[2]],
            environments=self._environments.all,
            cases=cases,
            commands=[harmless(command) for command in documents.commands],
            warnings=warnings_of(documents.runs),
            notes=[harmless(note) for note in [*documents.notes, *self._search_note()]],
            version=gaudi_perf.__version__,
        )

    def _search_note(self) -> list[str]:
        if len(self._searched) == len(self._documents.session.cases):
            return []
        others = "gaudi-perf history --case tells of the others"
        return [f"changes of level were looked for in the {len(self._searched)} worst cases: {others}"]

    def _about(self) -> list[Pair]:
        session = self._documents.session
        found = [("Measured", f"{_moment(session.started_at)} to {_moment(session.ended_at)} UTC")]
        first = next((runs[0] for runs in self._documents.runs.values() if runs), None)
        if first is not None:
            workload = first.case.workload
            count = first.device.available
            found += [
                ("Device", first.device.name if count is None else f"{first.device.name}, {count} on this host"),
                ("Stack", first.stack.name),
                ("Workload", f"{workload.new_tokens} new tokens, batch {workload.batch_size}, {workload.dtype}"),
                ("Weights", f"{first.case.weights}" + ("" if first.case.scale == "full" else ", stand-in shapes")),
                ("Host", first.host.host_class),
            ]
            if workload.prompt.startswith("dataset "):
                found.append(("Prompts", workload.prompt))
        visible = smallest_visible(session)
        if visible:
            found.append(("Smallest detectable slowdown", visible.partition(": ")[2]))
        if noise := learned_noise(session):
            found.append(("Night-to-night variation", noise.partition(": ")[2]))
        found += [("Side by side", line) for line in stacks_side_by_side(session, self._documents.runs)]
        found += [("All cases", shared)] if (shared := error_rate(session)) else []
        found += [("Other metrics", line) for line in other_regressions(session)]
        return [(name, harmless(value)) for name, value in found]

    def _case(self, report: CaseReport) -> ShownCase:
        runs = self._documents.runs.get(report.case.id, ())
        state = _state(report)
        shown = ShownCase(
            id=harmless(report.case.id, 300),
            state=state,
            severity=_ORDER[state],
            headline=case_headline(report),
            waived=harmless(report.waived),
            problem=harmless(report.failed or report.skipped) if not runs else problems_of(runs),
            new_tokens=report.case.workload.new_tokens,
            notes=[harmless(note) for note in report.notes],
        )
        return self._measured(shown, report, runs) if runs else shown

    def _measured(self, shown: ShownCase, report: CaseReport, runs: Sequence[Run]) -> ShownCase:
        facts = figures(runs)
        first = runs[0]
        trend = self._documents.trends.get(first.comparability)
        partners = [
            self._documents.partners[run_id] for run_id in report.baseline_run_ids if run_id in self._documents.partners
        ]
        comparisons = [self._comparison(verdict, report, runs, partners) for verdict in report.verdicts]
        comparisons += [self._comparison(verdict, report, runs, partners) for verdict in report.others]
        return msgspec.structs.replace(
            shown,
            comparisons=comparisons,
            latency=_rounded(facts.latency_s),
            spread=None if facts.spread is None else _rounded(facts.spread),
            first=None if facts.first_token_s is None else _rounded(facts.first_token_s),
            per=None if facts.per_output_token_s is None else _rounded(facts.per_output_token_s),
            rounds=[_rounds(run) for run in runs],
            facts=facts_of(runs, facts),
            trend=None if trend is None else self._trend(trend, report),
            stack=self._places[first.stack.name],
            levels=self._levels(trend, first, facts),
            limit=_limit(first, facts),
        )

    def _comparison(
        self, verdict: Verdict, report: CaseReport, runs: Sequence[Run], partners: Sequence[Run]
    ) -> ShownComparison:
        rounds, split = self._behind(verdict, runs[0], partners)
        return ShownComparison(
            kind=verdict.kind.value,
            key=_key(verdict.kind),
            metric="" if verdict.metric == LATENCY else TITLES[verdict.metric],
            gates=verdict in report.verdicts,
            against=harmless(verdict.baseline, 200),
            role=verdict.role,
            why=explanation(verdict, figures(runs), waived=bool(report.waived)),
            ratio=verdict.ratio,
            low=verdict.low,
            high=verdict.high,
            tolerance=verdict.tolerance or TOLERANCES[LATENCY],
            level=_rounded_or_none(verdict.baseline_median_s if verdict.metric == LATENCY else None),
            runs=rounds,
            split=split,
            environment=self._environment(verdict.baseline_stack, runs[0].stack),
            stack=None if verdict.baseline_stack is None else self._places.get(verdict.baseline_stack.name),
        )

    def _behind(
        self, verdict: Verdict, run: Run, partners: Sequence[Run]
    ) -> tuple[list[list[float]], tuple[float, float] | None]:
        """The rounds that a verdict was held against, run by run, and their first token and following tokens."""
        if verdict.metric != LATENCY:
            return [], None
        if verdict.role == "side by side":
            rounds = [[_rounded(value) for value in partner.measurement.latencies_s] for partner in partners]
            return rounds, _split(figures(partners)) if partners else None
        entry = self._documents.baselines.behind(verdict, run)
        if entry is None:
            return [], None
        return [[_rounded(value) for value in one.measurement.latencies_s] for one in entry.runs], _stored_split(entry)

    def _environment(self, before: Stack | None, now: Stack) -> int | None:
        return None if before is None else self._environments.index(before, now)

    def _trend(self, trend: Trend, report: CaseReport) -> ShownTrend:
        """The trend by time; one session can measure several versions, so that its changes are found by version."""
        sessions = sorted(trend.sessions, key=lambda one: (one.started_at, one.session_id))
        searched = report.case.id in self._searched
        tolerance = next((one.tolerance for one in report.verdicts if one.tolerance), TOLERANCES[LATENCY])
        return ShownTrend(
            at=[_minutes(one.started_at) for one in sessions],
            level=[_rounded(one.level_s) for one in sessions],
            low=[_rounded(one.quartiles_s[0]) for one in sessions],
            high=[_rounded(one.quartiles_s[1]) for one in sessions],
            stack=[self._places[one.stack.name] for one in sessions],
            changes=[_change(sessions, one) for one in changes_of(trend, tolerance=tolerance)] if searched else [],
            searched=searched,
        )

    def _levels(self, trend: Trend | None, run: Run, facts: Figures) -> list[tuple[int, float]]:
        """The level on every stack: of what was measured, and where nothing was, of the stored baseline."""
        levels = dict(trend.levels) if trend is not None else {}
        levels.setdefault(run.stack.name, facts.latency_s)
        for stack, level in self._documents.baselines.levels(run):
            levels.setdefault(stack.name, level)
        return sorted((self._places[name], _rounded(level)) for name, level in levels.items())


def _change(sessions: Sequence[SessionLevel], found: Change) -> LevelChange:
    point, since = found.point, found.since
    return LevelChange(
        index=sessions.index(since),
        ratio=_rounded(point.ratio),
        text=f"since {since.started_at[:10]} ({since.stack.name}): "
        f"{slower_or_faster(point.ratio)} {interval(point.low, point.high)}",
        changed=[harmless(line) for line in found.stack_changes],
    )


def _minutes(started_at: str) -> int:
    """Minutes since 1970; documents write times as ``2026-01-31T23:59:59[.123]Z``."""
    return int(datetime.fromisoformat(started_at[:19] + "+00:00").timestamp() // 60)


def _severity(case: ShownCase) -> tuple[int, float]:
    ratio = case.comparisons[0].ratio if case.comparisons else None
    return case.severity, -(ratio or 0.0)


def _worst_first(report: CaseReport) -> tuple[int, float]:
    ratio = report.verdicts[0].ratio if report.verdicts else None
    return _ORDER[_state(report)], -(ratio or 0.0)


def _state(report: CaseReport) -> str:
    if report.failed or (not report.verdicts and not report.skipped):
        return "failed"
    if report.skipped:
        return "skipped"
    return "waived" if report.waived else _key(report.verdicts[0].kind)


def _key(kind: VerdictKind) -> str:
    return kind.value.lower().replace(" ", "-")


def _rounds(run: Run) -> RoundsOfRun:
    measurement = run.measurement
    return RoundsOfRun(
        at=_moment(run.started_at),
        warm=[_rounded(value) for value in measurement.warm_up.latencies_s],
        kept=[_rounded(value) for value in measurement.latencies_s],
        steady=measurement.warm_up.steady,
    )


def _split(facts: Figures) -> tuple[float, float] | None:
    if facts.first_token_s is None or facts.per_output_token_s is None:
        return None
    return _rounded(facts.first_token_s), _rounded(facts.per_output_token_s)


def _stored_split(entry: CaseBaseline) -> tuple[float, float] | None:
    first = [value for run in entry.runs for value in run.values("first-token")]
    following = [value for run in entry.runs for value in run.values("per-token")]
    return (_rounded(median(first)), _rounded(median(following))) if first and following else None


def _limit(run: Run, facts: Figures) -> Limit | None:
    found = roofline_of(run)
    if found is None:
        return None
    share = found.share(facts.latency_s)
    devices = run.case.configuration.devices
    many = "" if devices == 1 else f" by each of {devices} devices"
    text = (
        f"A generation must read {found.generation_bytes / 1e9:,.0f} GB; at "
        f"{rate(found.bandwidth.bytes_per_s)}{many} that takes {seconds(found.limit_s)}, so this "
        f"measurement runs at {percent(share)} of the memory's limit. Bandwidth: {found.bandwidth.source}."
    )
    return Limit(seconds=_rounded(found.limit_s), share=_rounded(share), text=harmless(text))


def _moment(text: str) -> str:
    return text[:16].replace("T", " ")


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _rounded_or_none(value: float | None) -> float | None:
    return None if value is None else _rounded(value)
