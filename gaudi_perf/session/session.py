"""The session of one invocation: measures cases, judges them, and writes down what it found.

pytest's fixtures and ``gaudi-perf complete`` are its faces: they show what it says. Everything is kept by the whole
case, so that two tests of one configuration with different workloads have nothing in common.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from gaudi_perf.judging import refresh_verdicts
from gaudi_perf.judging.outcome import fails, why_passes, with_added
from gaudi_perf.reports.terminal import failure_text
from gaudi_perf.reports.wording import common_slowdown, level_change, waiver_line
from gaudi_perf.session.interrupts import undisturbed
from gaudi_perf.session.judge import SessionJudge
from gaudi_perf.session.origin import origin_of
from gaudi_perf.session.settings import Settings
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.files import make_directory
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh
from gaudi_perf.stores.results import ResultsStore, new_session_id
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.metrics import LATENCY
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Session, SharedErrorRate
from gaudi_perf.workers.controller.group import GroupFailure
from gaudi_perf.workers.controller.hosts import found_on
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.controller.matrix import why_not
from gaudi_perf.workers.controller.measuring import Measurer, Notify, utc_now
from gaudi_perf.workers.controller.passes import Passes, Side
from gaudi_perf.workers.controller.workspace import Workspace


class CannotRunError(Exception):
    """Why a case cannot be measured here, in numbers: no fault of anybody."""


class PerfSession:
    """The session of one invocation.

    Attributes:
        found: the devices that there are; None if there are none.
        reports: what was found of each case so far.
        notes: what else to print, a line each.
        failed: whether the session fails though its tests may pass: a case is REGRESSED only among all cases, a
            baseline is refused, or the session's document cannot be written.
    """

    def __init__(
        self, settings: Settings, cases: Iterable[Case] = (), *, more: int = 0, notify: Notify = lambda text: None
    ) -> None:
        """Nothing is started. Cases are those that are known to be measured, in the order of their tests.

        ``more``: how many are measured that are not known yet; they share the false-alarm rate. ``notify`` shows a line
        about what is being done, in the place of the one before; an empty one takes it away.
        """
        self.settings = settings
        self.session_id = new_session_id()
        self.baselines = BaselineStore(settings.baselines_directory)
        self.results = ResultsStore(settings.results_directory)
        self.reports: dict[Case, CaseReport] = {}
        self.notes: list[str] = []
        self.failed = False
        self._refreshed = False
        self._waivers = WaiverStore(settings.baselines_directory)
        self._stopped: dict[Case, UserError] = {}
        self._selected = list(dict.fromkeys(cases))
        self._notify = notify
        self._started_at = utc_now()
        self.found = found_on(settings.hosts, settings.accelerator.find())
        self._why_none = "" if self.found else settings.accelerator.why_none()
        self._broken = [
            f"--accelerator auto took {settings.accelerator.name}, since a driver is broken: {failure}"
            for failure in settings.accelerator.passed_over
        ]
        self.notes += self._broken
        named = dict.fromkeys(case.configuration.model for case in self._selected)
        self.notes += [note for name in named for note in settings.catalogue.model(name).notes]
        self._resources = contextlib.ExitStack()
        self._launches = [settings.candidate, *([settings.baseline] if settings.baseline else [])]
        self._runs: list[dict[Case, list[Run]]] = [{} for _ in self._launches]
        self._passes: Passes | None = None
        self._workspace: Workspace | None = None
        self._directories = itertools.count()
        self._ended_at = ""
        self._error_rate: SharedErrorRate | None = None
        self._runnable = sum(not self.why_not(case) for case in self._selected) + more
        self._judging = SessionJudge(settings, self.baselines, self._runnable)

    @property
    def runs(self) -> dict[Case, list[Run]]:
        """The runs on the stack in question."""
        return self._runs[0]

    @property
    def runs_by_id(self) -> dict[str, list[Run]]:
        """The same by case id, as reports take them."""
        return {case.id: runs for case, runs in self.runs.items()}

    @property
    def document(self) -> Session:
        """The session as a document."""
        baseline = self.settings.baseline
        unjudged = {
            case: CaseReport(case=case, run_ids=[run.run_id for run in runs], failed="ended before it was judged")
            for case, runs in self.runs.items()
            if runs
        }
        reports = {**unjudged, **self.reports}
        order = dict.fromkeys([*self._selected, *reports])
        return Session(
            session_id=self.session_id,
            started_at=self._started_at,
            ended_at=self._ended_at or utc_now(),
            cases=[reports[case] for case in order if case in reports],
            left=len(order) - len(reports),
            candidate_stack=self.settings.candidate.name,
            baseline_stack="" if baseline is None else baseline.name,
            error_rate=self._error_rate,
            waivers=self._all_waivers(),
            refreshed=self._refreshed,
            origin=origin_of(os.environ),
        )

    def why_not(self, case: Case) -> str:
        """Why this machine cannot run a case, in numbers; empty if it can."""
        if self.found is None:
            return self._why_none
        settings = self.settings
        return why_not(case, settings.built(case), settings.accelerator, self.found, batches=case.workload.of_dataset)

    def measure(self, case: Case) -> list[Run]:
        """The runs of a case on the stack in question; of cases that share a worker group in passes over all of them.
        Raises CannotRunError if this machine cannot run it, UserError if it cannot be measured as asked, a run failed
        or could not be stored, or a baseline that is needed is malformed.
        """
        with self.reported(case):
            self._require_measurable(case)
            self.require_runnable(case)
            passes = self._passes_now()
            if case in self._stopped:  # one that shared its passes has the reason; not all runs of this one are there
                raise self._stopped[case]
            if case not in self.runs and case not in passes.failures:
                several = self.settings.runs > 1 or len(passes.sides) > 1
                sharing = self._sharing(case) if several else [case]
                left = self._runnable - len({*self.runs, *passes.failures})
                share = len(sharing) / max(left, len(sharing))
                try:
                    passes.measure(sharing, self._judging.enough(self._runs, share))
                except UserError as error:
                    self._stopped.update(dict.fromkeys(sharing, error))
                    raise
            if case in passes.failures:
                raise passes.failures[case]
        return self.runs[case]

    def judge(self, case: Case) -> CaseReport:
        """Hold the runs of a case against the other stack's, or against its baselines.
        Raises UserError if a baseline or the waivers are malformed, ``--against`` names none, or nothing was measured.
        """
        if not self.runs.get(case):
            raise UserError(f"{case.id}: nothing was measured that could be judged: measure this case first")
        with self.reported(case):
            judgement = self._judging.judge(case, self._runs)
            report = CaseReport(
                case=case,
                run_ids=[run.run_id for run in self.runs[case]],
                baseline_run_ids=[run.run_id for runs in self._runs[1:] for run in runs[case]],
                verdicts=list(judgement.verdicts),
                others=list(judgement.others),
                waived=why_passes(self._waivers, self.baselines, self.runs[case][-1], judgement.verdicts),
                notes=list(judgement.notes),
            )
        self.reports[case] = report
        self._write_so_far()
        return report

    def fails(self, report: CaseReport) -> bool:
        """Whether what a case came to makes its test fail."""
        return fails(
            report.verdicts,
            report.waived,
            accept_regression=bool(self.settings.accept_regression),
            require_baseline=self.settings.require_baseline,
        )

    def measurer(self, launch: Launch | None = None) -> Measurer:
        """A measurer of its own, of a stack if not of this interpreter's; use it as a context manager."""
        settings, launch = self.settings, launch or Launch()
        return Measurer(
            settings.accelerator.of_stack(launch.environment),
            settings.weights,
            settings.plan,
            settings.deadlines,
            self.directory(),
            self.session_id,
            self.doing,
            launch,
            settings.hosts,
            settings.catalogue.model,
        )

    def directory(self) -> Path:
        """A new private directory, which goes when the session ends."""
        if self._workspace is None:
            make_directory(self.settings.results_directory, private=True)  # refused now, not after the first run
            self._workspace = Workspace()
            self._resources.callback(self._workspace.close)
            self.notes += self._workspace.earlier
        path = self._workspace.path / str(next(self._directories))
        path.mkdir()
        return path

    @contextlib.contextmanager
    def reported(self, case: Case, kept: Path | None = None) -> Iterator[None]:
        """Reports of a case that it has no measurement, and why, if so; completions in ``kept`` stay in any case."""
        try:
            yield
        except CannotRunError as error:
            self.reports[case] = CaseReport(case=case, skipped=str(error))
            raise
        except GroupFailure as failure:
            text = failure_text(case, failure.phase, failure.sentence, failure.log)
            notes = []
            if (log := failure.log_path) is not None:  # which goes with the workspace
                notes.append(self.results.keep_log(log, self.session_id, case.id, os.environ))
            if kept is not None and kept.exists():
                notes.append(f"what was completed is kept in {kept}; the same command goes on there")
            self.reports[case] = CaseReport(case=case, failed=failure.sentence, notes=notes)
            raise UserError("\n".join([text, *notes])) from None
        except UserError as error:
            run_ids = [run.run_id for run in self.runs.get(case, [])]
            self.reports[case] = CaseReport(case=case, run_ids=run_ids, failed=str(error))
            raise
        finally:
            self._notify("")

    def require_runnable(self, case: Case) -> None:
        """Raise CannotRunError where this machine cannot run a case; UserError where a clear verdict is required."""
        required = self.settings.require_baseline
        if required and self._broken:
            raise UserError(self._broken[0])
        if reason := self.why_not(case):
            raise UserError(reason) if required and self.found is None else CannotRunError(reason)

    def add(self, run: Run) -> None:
        """Store a run that was measured otherwise, and have it judged with those of its case."""
        self.results.write_run(run)
        self.runs.setdefault(run.case, []).append(run)
        self._write_so_far()

    def doing(self, text: str) -> None:
        """Show what is being done, and note it for the next session, should this one be killed."""
        self._notify(text)
        if self._workspace is not None:
            self._workspace.doing(text)

    def end_groups(self) -> None:
        """Leave the accelerator to somebody else."""
        for side in [] if self._passes is None else self._passes.sides:
            side.measurer.end_group()

    def close(self) -> None:
        """End what was started, and nothing else."""
        self._notify("")
        with undisturbed():
            self._resources.close()

    def finish(self, *, interrupted: bool = False) -> None:
        """End what was started, judge all cases together, store baselines if asked, and write the session's document.

        No baseline is stored if the session was interrupted: not all tests came to their end.
        """
        self.close()
        self._ended_at = utc_now()
        if not self.reports and not self.runs:
            return
        try:
            self._conclude()
            if self.settings.refresh_baselines and self.runs:
                self._refresh(interrupted)
            self.results.write_session(self.document, finished=not interrupted)
            if unsent := self.results.send_rest():
                self.notes.append(unsent)
        except UserError as error:
            self.failed = True
            self.notes.append(str(error))

    def _write_so_far(self) -> None:
        """Have the session readable should this process be killed; what cannot be written is reported at the end."""
        with contextlib.suppress(UserError):
            self.results.write_session(self.document, finished=False)

    def _refresh(self, interrupted: bool) -> None:
        """Store what was measured as baselines, and say what was done; what is refused makes the session fail."""
        if interrupted:
            self.notes.append("baselines not refreshed: the session was interrupted")
            return
        runs = [run for those in self.runs.values() for run in those]
        try:
            request = Refresh(
                runs,
                minimum_runs=self.settings.runs,
                accept_regression=self.settings.accept_regression,
                margin=self.settings.tolerances[LATENCY],
                judged=refresh_verdicts(runs, self.baselines, self.settings.rules, self._judging.history),
            )
            done = apply(plan_refresh(self.baselines, request))
        except UserError as error:
            self.failed = True
            self.notes.append(f"baselines not refreshed: {error}")
            return
        self._refreshed = True
        self.failed |= bool(done.refused)
        self.notes.append(f"baselines in {self.baselines.directory}:")
        self.notes += [f"  {level_change(change)}" for change in done.changes]

    def _conclude(self) -> None:
        """Add what is REGRESSED only among all cases together; no verdict is taken back."""
        conclusion = self._judging.testing.conclude()
        self._error_rate = conclusion.error_rate
        added = []
        for case, verdict in conclusion.added.items():
            report = with_added(self.reports[case], verdict)
            try:
                passes = why_passes(self._waivers, self.baselines, self.runs[case][-1], report.verdicts)
            except UserError as error:  # waives nothing; all tests are over, so that none can fail for it
                passes = ""
                self.notes += [str(error)] if str(error) not in self.notes else []
            self.reports[case] = report = msgspec.structs.replace(report, waived=passes)
            if self.fails(report):
                added.append(case.id)
        if conclusion.common is not None:
            self.notes.append(common_slowdown(conclusion.common))
        if added:
            self.failed = True
            self.notes.append(f"REGRESSED among all cases, not when its test ended: {', '.join(added)}")

    def _all_waivers(self) -> list[str]:
        """Every waiver in words, expired ones too; a file that cannot be read was reported when a case needed it."""
        stack = next((runs[0].stack for runs in self.runs.values() if runs), None)
        with contextlib.suppress(UserError):
            return [waiver_line(waiver, stack) for waiver in self._waivers.list()]
        return []

    def _require_measurable(self, case: Case) -> None:
        settings = self.settings
        for what, theirs, ours, remedy in (
            ("accelerator", case.accelerator, settings.accelerator.kind, "name another with --accelerator"),
            ("scale", case.scale, settings.scale, "name it with --scale"),
            ("weights", case.weights, settings.weights.label, "name them with --weights"),
        ):
            if theirs != ours:
                raise UserError(f"{case.id}: its {what} is {theirs!r}, and that of this session {ours!r}: {remedy}")
        if settings.weights.kind == "hub" and not settings.catalogue.model(case.configuration.model).hub_id:
            raise UserError(
                f"{case.id}: its model has no repository on the hub: name a directory with --weights, or write hub = "
                "into models.toml"
            )
        if case.workload.of_dataset:
            raise UserError(f"{case.id}: its prompts are a dataset's: complete it with the fixture complete_dataset")

    def _sharing(self, case: Case) -> list[Case]:
        """The case, and those that were selected and share its worker group, in the order of their tests."""
        spec_of = self._passes_now().sides[0].measurer.group_spec
        cases = dict.fromkeys([*self._selected, case])
        return [one for one in cases if one == case or (spec_of(one) == spec_of(case) and not self.why_not(one))]

    def _passes_now(self) -> Passes:
        if self._passes is None:
            sides = [
                Side(self._resources.enter_context(self.measurer(launch)), runs)
                for launch, runs in zip(self._launches, self._runs, strict=True)
            ]
            in_turns = self.settings.rounds_in_turns
            self._passes = Passes(sides, self.results.write_run, counted=self._write_so_far, rounds_in_turns=in_turns)
        return self._passes
