"""From documents to the data of the page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

import gaudi_perf
from gaudi_perf.judging.trends import Change, OddSession, Trend, TrendChanges, all_changes, trends
from gaudi_perf.reports import wording
from gaudi_perf.reports.figures import Figures, figures
from gaudi_perf.reports.page import data
from gaudi_perf.reports.page.data import rounded, rounded_or_none
from gaudi_perf.reports.page.facts import facts_of
from gaudi_perf.reports.page.stored import StoredBaselines
from gaudi_perf.reports.text import harmless
from gaudi_perf.reports.warnings import warnings_of
from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.notes import NotesStore
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.errors import noted
from gaudi_perf.vocabulary.formats import counted, minute, percent, rate, seconds, slower_or_faster
from gaudi_perf.vocabulary.metrics import LATENCY, TITLES, TOLERANCES
from gaudi_perf.vocabulary.note import Note
from gaudi_perf.vocabulary.run import Run, differences, median_of
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import CaseReport, Origin, Session, Verdict

_FIELD = re.compile(r"[a-z ]+?(?= ['\"0-9])")
"""The field that a sentence of ``differences`` begins with."""
STATES = {
    "failed": "not measured",
    "invalid": "INVALID",
    "regressed": "REGRESSED",
    "waived": "waived",
    "inconclusive": "INCONCLUSIVE",
    "no-baseline": "NO BASELINE",
    "improved": "IMPROVED",
    "unchanged": "UNCHANGED",
    "skipped": "skipped",
}
"""Key and name of what a case can come to, worst first."""
LOOK = ("failed", "invalid", "regressed", "waived")
"""What needs a look."""
_LONGEST_VERSION = 300
_ORDER = {key: index for index, key in enumerate(STATES)}


class PageBuilder:
    """Builds one page; stacks and environments that many cases share are kept once."""

    def __init__(
        self,
        session: Session,
        runs: Mapping[str, Sequence[Run]],
        results: ResultsStore,
        baselines_directory: Path,
        commands: Sequence[str],
    ) -> None:
        self.session, self.runs, self._commands = session, runs, commands
        past = read_history(results.directory)
        self._baselines = StoredBaselines(
            baselines_directory, {run.device.name for own in runs.values() for run in own}
        )
        self._notes = self._baselines.problems
        self._written = written_in(results.directory, self._notes)
        if past.problems:
            documents = counted(len(past.problems), "document")
            self._notes.append(f"{documents} under {results.directory} could not be read: see gaudi-perf history")
        wanted = {run_id for report in session.cases for run_id in report.baseline_run_ids}
        of_session = results.read_session(session.session_id).runs if wanted else ()
        self._partners = {run.run_id: run for run in of_session if run.run_id in wanted}
        self._trends = trends(past.runs)
        self._environments: dict[str, tuple[int, data.Environment]] = {}
        self._reports = sorted(session.cases, key=_worst_first)
        stacks = {one.stack.name: one.stack for trend in self._trends.values() for one in trend.sessions}
        stacks = self._baselines.stacks | stacks
        stacks |= {run.stack.name: run.stack for own in runs.values() for run in own}
        self._stacks = sorted(stacks, key=lambda name: (stacks[name].kind, stacks[name].order))
        self._places = {name: index for index, name in enumerate(self._stacks)}
        self._same_id: dict[str, list[Trend]] = {}
        for trend in self._trends.values():
            self._same_id.setdefault(trend.key.case.id, []).append(trend)
        judged: dict[float, list[Trend]] = {}
        for report in self._reports:
            for run in self.runs.get(report.case.id, ())[:1]:
                if run.comparability in self._trends:
                    tolerance = next((one.tolerance for one in report.verdicts if one.tolerance), TOLERANCES[LATENCY])
                    judged.setdefault(tolerance, []).append(self._trends[run.comparability])
        self._changes = {
            trend.key: changes
            for tolerance, own in judged.items()
            for trend, changes in zip(own, all_changes(own, tolerance=tolerance), strict=True)
        }

    def page(self) -> data.Page:
        """The data of the page; cases are sorted worst first."""
        session = self.session
        cases = [self._case(report) for report in self._reports]
        counts = Counter(case.state for case in cases)
        return data.Page(
            title=wording.title(session),
            session=session.session_id,
            about=self._about(),
            links=links_of(session.origin),
            stacks=[harmless(name) for name in self._stacks],
            counts=[(key, name, counts[key]) for key, name in STATES.items() if counts[key]],
            environments=[environment for _, environment in self._environments.values()],
            cases=cases,
            commands=[harmless(command) for command in self._commands],
            warnings=warnings_of(self.runs),
            notes=[harmless(note) for note in self._notes],
            version=gaudi_perf.__version__,
        )

    def _about(self) -> list[data.Pair]:
        session = self.session
        found = [("Measured", f"{minute(session.started_at)} to {minute(session.ended_at)} UTC")]
        first = next((runs[0] for runs in self.runs.values() if runs), None)
        if first is not None:
            workload, count = first.case.workload, first.device.available
            found += [
                ("Device", first.device.name if count is None else f"{first.device.name}, {count} on this host"),
                ("Stack", first.stack.name),
                ("Workload", workload.words),
                ("Weights", first.case.made_of),
                ("Host", first.host.host_class),
            ]
            if workload.of_dataset:
                found.append(("Prompts", workload.prompts[0]))
        found += [
            ("Smallest detectable slowdown", wording.smallest_visible(session).partition(": ")[2]),
            ("Night-to-night variation", wording.learned_noise(session).partition(": ")[2]),
            *(("Side by side", line) for line in wording.stacks_side_by_side(session, self.runs)),
            ("All cases", wording.error_rate(session)),
            *(("Other metrics", line) for line in wording.other_regressions(session)),
        ]
        return [(name, harmless(value)) for name, value in found if value]

    def _case(self, report: CaseReport) -> data.ShownCase:
        runs = self.runs.get(report.case.id, ())
        state = state_of(report)
        shown = data.ShownCase(
            id=harmless(report.case.id, 300),
            state=state,
            severity=_ORDER[state],
            headline=wording.case_headline(report),
            waived=harmless(report.waived),
            problem=wording.problems_of(runs) if runs else harmless(report.failed or report.skipped),
            new_tokens=report.case.workload.new_tokens,
            notes=[harmless(note) for note in report.notes],
        )
        return self._measured(shown, report, runs) if runs else shown

    def _measured(self, shown: data.ShownCase, report: CaseReport, runs: Sequence[Run]) -> data.ShownCase:
        facts, first = figures(runs), runs[0]
        trend = self._trends.get(first.comparability)
        return msgspec.structs.replace(
            shown,
            comparisons=[
                self._comparison(verdict, report, runs, facts) for verdict in (*report.verdicts, *report.others)
            ],
            latency=rounded(facts.latency_s),
            spread=rounded_or_none(facts.spread),
            first=rounded_or_none(facts.first_token_s),
            per=rounded_or_none(facts.per_output_token_s),
            tokens=rounded(facts.tokens_per_s),
            rounds=[
                data.RoundsOfRun(
                    at=minute(run.started_at),
                    warm=list(map(rounded, run.measurement.warm_up.latencies_s)),
                    kept=list(map(rounded, run.measurement.latencies_s)),
                    steady=run.measurement.warm_up.steady,
                )
                for run in runs
            ],
            facts=facts_of(runs, facts),
            trend=None if trend is None else shown_trend(trend, self._changes[trend.key], self._places),
            alone=self._alone(first, trend),
            written=written_about(self._written, report.case.id, first.device.name),
            stack=self._places[first.stack.name],
            levels=self._levels(trend, first, facts),
            limit=_limit(first, facts),
        )

    def _comparison(
        self, verdict: Verdict, report: CaseReport, runs: Sequence[Run], facts: Figures
    ) -> data.ShownComparison:
        behind = self._behind(verdict, report, runs[0])
        first, following = median_of(behind, "first-token"), median_of(behind, "per-token")
        before = verdict.baseline_stack
        latency = verdict.metric == LATENCY
        return data.ShownComparison(
            kind=verdict.kind.value,
            key=_key(verdict),
            metric="" if latency else TITLES[verdict.metric],
            gates=verdict in report.verdicts,
            against=harmless(verdict.baseline, 200),
            role=verdict.role,
            why=wording.explanation(verdict, facts, waived=bool(report.waived)),
            ratio=verdict.ratio,
            low=verdict.low,
            high=verdict.high,
            tolerance=verdict.tolerance or TOLERANCES[LATENCY],
            level=rounded_or_none(verdict.baseline_median_s if latency else None),
            runs=[list(map(rounded, run.measurement.latencies_s)) for run in behind],
            split=None if first is None or following is None else (rounded(first), rounded(following)),
            environment=None if before is None else self._environment(before, runs[0].stack),
            stack=None if before is None else self._places.get(before.name),
        )

    def _environment(self, before: Stack, now: Stack) -> int:
        """The place of the differences between two stacks, which are added if they are new."""
        key = repr((before, now))
        if key not in self._environments:
            self._environments[key] = len(self._environments), environment(before, now)
        return self._environments[key][0]

    def _behind(self, verdict: Verdict, report: CaseReport, run: Run) -> Sequence[Run]:
        """The runs that a latency was compared with, where they are known."""
        if verdict.metric != LATENCY:
            return ()
        if verdict.role == "side by side":
            return [self._partners[run_id] for run_id in report.baseline_run_ids if run_id in self._partners]
        entry = self._baselines.behind(verdict, run)
        return () if entry is None else entry.runs

    def _alone(self, run: Run, trend: Trend | None) -> str:
        """Why there is no trend, in a few words; empty if there is one."""
        if trend is not None and len(trend.sessions) > 1:
            return ""
        if trend is None:
            return "INVALID" if run.problems else "never steady"
        others = [other for other in self._same_id[run.case.id] if other is not trend]
        if not others:
            return "first session"
        differing = differences(run.comparability, others[-1].key)
        name = _FIELD.match(differing[0]) if differing else None
        return f"first with this {name[0] if name else 'stack'}"

    def _levels(self, trend: Trend | None, run: Run, facts: Figures) -> list[tuple[int, float]]:
        """The level on every stack: of what was measured, and where nothing was, of the stored baseline."""
        levels = dict(trend.levels) if trend is not None else {}
        levels.setdefault(run.stack.name, facts.latency_s)
        for stack, level in self._baselines.levels(run):
            levels.setdefault(stack.name, level)
        return sorted((self._places[name], rounded(level)) for name, level in levels.items())


def shown_trend(trend: Trend, happened: TrendChanges, places: Mapping[str, int]) -> data.ShownTrend:
    """The trend by time, stacks by their places; one session can measure several, so changes are found by version."""
    sessions = sorted(trend.sessions, key=lambda one: (one.started_at, one.session_id))
    return data.ShownTrend(
        at=[minutes(one.started_at) for one in sessions],
        level=[rounded(one.level_s) for one in sessions],
        low=[rounded(one.quartiles_s[0]) for one in sessions],
        high=[rounded(one.quartiles_s[1]) for one in sessions],
        stack=[places[one.stack.name] for one in sessions],
        changes=[level_change_of(sessions.index(one.since), one) for one in happened.changes],
        odd=[odd_session_of(one) for one in happened.odd],
    )


def minutes(started_at: str) -> int:
    """Minutes since 1970 of a time like ``2026-01-31T23:59:59Z``."""
    return int(datetime.fromisoformat(f"{started_at[:16]}+00:00").timestamp()) // 60


def environment(before: Stack, now: Stack) -> data.Environment:
    """What differs between two stacks, and what is alike."""
    kinds = ({before.kind: before.version}, {now.kind: now.version})
    changed, same = [], []
    for old, new in (kinds, (before.components, now.components), (before.settings, now.settings)):
        for name in sorted(old.keys() | new.keys()):
            shown, one, other = (
                harmless(text, _LONGEST_VERSION) for text in (name, old.get(name, "none"), new.get(name, "none"))
            )
            if old.get(name) == new.get(name):
                same.append((shown, one))
            else:
                changed.append((shown, one, other))
    names = (harmless(stack.name, _LONGEST_VERSION) for stack in (before, now))
    return data.Environment(before=next(names), now=next(names), changed=changed, same=same)


def links_of(origin: Origin | None) -> list[tuple[str, str, str]]:
    """Name, text and address (may be empty) of the commit, the CI's run and the pull request."""
    if origin is None:
        return []
    found = [
        ("Commit", origin.commit[:12], origin.commit_url),
        ("Run", origin.system, origin.run_url),
        ("Pull request", origin.change, origin.change_url),
    ]
    return [(name, harmless(text), address or "") for name, text, address in found if text]


def written_in(results: Path, problems: list[str]) -> tuple[Note, ...]:
    """What people noted on cases; a sentence is added if that cannot be read."""
    notes: tuple[Note, ...] = ()
    with noted(problems):
        notes = NotesStore(results).list()
    return notes


def written_about(notes: Sequence[Note], case_id: str, device: str) -> list[data.Pair]:
    """Day and text of the notes on a case."""
    return [(note.added_at[:10], harmless(note.text)) for note in notes if note.about(case_id, device)]


def level_change_of(index: int, found: Change) -> data.LevelChange:
    """A change of level, of which the session of this index is the first."""
    return data.LevelChange(
        index=index,
        ratio=rounded(found.point.ratio),
        text=wording.changed_since(found),
        changed=[harmless(line) for line in found.stack_changes],
    )


def odd_session_of(found: OddSession) -> str:
    """A session that is no change of level, in a clause."""
    standing = "the newest session: too early to say" if found.newest else "an odd session, no change of level"
    return f"{found.session.started_at[:10]} ({found.session.stack.name}): {slower_or_faster(found.ratio)}, {standing}"


def _worst_first(report: CaseReport) -> tuple[int, float]:
    ratio = report.verdicts[0].ratio if report.verdicts else None
    return _ORDER[state_of(report)], -(ratio or 0.0)


def state_of(report: CaseReport) -> str:
    """The key of what a case came to."""
    if report.failed or (not report.verdicts and not report.skipped):
        return "failed"
    if report.skipped:
        return "skipped"
    return "waived" if report.waived else _key(report.verdicts[0])


def _key(verdict: Verdict) -> str:
    return verdict.kind.value.lower().replace(" ", "-")


def _limit(run: Run, facts: Figures) -> data.Limit | None:
    found, share = facts.limit, facts.limit_share
    if found is None or share is None:
        return None
    devices = run.case.configuration.devices
    many = "" if devices == 1 else f" by each of {devices} devices"
    text = (
        f"A generation must read {found.generation_bytes / 1e9:,.0f} GB; at "
        f"{rate(found.bandwidth.per_s)}{many} that takes {seconds(found.limit_s)}, so this "
        f"measurement runs at {percent(share)} of the memory's limit. Bandwidth: {found.bandwidth.source}."
    )
    if found.computing_s and found.arithmetic is not None:
        operations = f"{found.arithmetic.per_s / 1e12:,.0f} TFLOPS"
        text += (
            f" Of the {seconds(found.limit_s)}, {seconds(found.computing_s)} are of steps that computing limits, at "
            f"{operations} ({found.arithmetic.source})."
        )
    return data.Limit(seconds=rounded(found.limit_s), share=rounded(share), text=harmless(text))
