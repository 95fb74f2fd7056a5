"""Measures cases: keeps the right worker group, warms up until steady, times rounds, and makes the run document."""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from gaudi_perf import protocol
from gaudi_perf.accelerators.base import Accelerator
from gaudi_perf.accelerators.host import HostWatch
from gaudi_perf.statistics.ranks import skew_of
from gaudi_perf.statistics.warmup import steady_start
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.run import Measurement, Run, TokenTimes, WarmUp
from gaudi_perf.workers.controller.checking import OutputChecker
from gaudi_perf.workers.controller.group import GroupFailure, WorkerGroup
from gaudi_perf.workers.controller.hosts import Hosts
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.controller.plan import Deadlines, MeasurementPlan
from gaudi_perf.workers.controller.telemetry import problems_of

_BATCH_SECONDS = 1.0
"""Rounds are asked for in batches of about this length: long enough to leave the worker alone, short enough for
progress and deadlines."""

_PATIENCE = 10
"""How many times the expected duration a batch may take before its worker counts as hung."""

_PASSES_ALONE = 16
"""Forward passes of every rank by itself: enough to find a slow one, and far less than a round."""

Notify = Callable[[str], None]


@dataclass
class _RoundLog:
    """Rounds of a run as they come in."""

    latencies_s: list[float] = field(default_factory=list)
    probes_s: list[float] = field(default_factory=list)
    rank_latencies_s: list[list[float]] = field(default_factory=list)
    peak_memory_bytes: int | None = None
    token_ids: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    last: protocol.RoundsDone | None = None

    def add(self, done: protocol.RoundsDone) -> None:
        if self.last is not None and done.token_ids != self.token_ids:
            self._problem("the rounds did not give the same tokens")
        if not done.same_tokens:
            self._problem("the rounds did not give the same tokens")
        for problem in done.problems:
            self._problem(problem)
        self.latencies_s += done.latencies_s
        self.probes_s += done.probes_s or []
        if done.rank_latencies_s is not None:
            self.rank_latencies_s = self.rank_latencies_s or [[] for _ in done.rank_latencies_s]
            for rank, latencies in zip(self.rank_latencies_s, done.rank_latencies_s, strict=True):
                rank += latencies
        if done.peak_memory_bytes is not None:
            self.peak_memory_bytes = max(self.peak_memory_bytes or 0, done.peak_memory_bytes)
        self.token_ids = done.token_ids
        self.last = done

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


_MISSING_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'")


class Measurer:
    """Measures the cases of a session, one worker group at a time.

    The group of a case stays for the cases that share it, so that each (model, device count) is loaded once. Use it as
    a context manager: what it started ends with it.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        weights: protocol.Weights,
        plan: MeasurementPlan,
        deadlines: Deadlines,
        directory: Path,
        session_id: str,
        notify: Notify = lambda text: None,
        launch: Launch | None = None,
        hosts: Hosts | None = None,
    ) -> None:
        """Nothing starts yet.

        Args:
            directory: a private directory for sockets and logs.
            session_id: the session that the runs belong to.
            notify: takes a line for people about what is being done.
            launch: how workers are started, if not by this interpreter.
            hosts: where the devices of groups of several are, if not all on this machine.
        """
        self._accelerator = accelerator
        self._weights = weights
        self._plan = plan
        self.deadlines = deadlines
        self._directory = directory
        self.session_id = session_id
        self._notify = notify
        self._launch = launch or Launch()
        self._hosts = hosts
        self._group: WorkerGroup | None = None
        self._groups_started = 0
        self._measured: list[str] = []  # cases of the present group
        self._cannot_start: GroupFailure | None = None
        self._checker = OutputChecker()

    def __enter__(self) -> Measurer:
        """Itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the worker group."""
        self.end_group()

    def end_group(self) -> None:
        """End the worker group, so that the next run is in a fresh one."""
        if self._group is not None:
            group, self._group = self._group, None
            group.close()

    @contextlib.contextmanager
    def group_of(self, case: Case) -> Iterator[WorkerGroup]:
        """The worker group that holds a case's model, for other requests than those of a run; ended if they fail.

        Raises:
            GroupFailure: it could not be started, or load the model.
        """
        try:
            yield self._group_for(case)
        except BaseException as error:
            self._name_log(error)
            self.end_group()
            raise

    def measure(self, case: Case) -> Run:
        """One run of a case, in the current worker group if that holds its model, else in a fresh one.

        Raises:
            GroupFailure: the worker group failed; it has been ended.
            UserError: its accelerator cannot be used as asked.
        """
        steps = self.steps(case)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                run: Run = done.value
                return run

    def steps(self, case: Case, *, one_by_one: bool = False) -> Generator[None, None, Run]:
        """The same, step by step: stops before the first round, between batches of rounds, and after the last.

        Args:
            case: what to measure.
            one_by_one: whether a batch is a single round, so that another stack's rounds can be taken in turns with it.

        Raises:
            GroupFailure: the worker group failed; it has been ended.
            UserError: its accelerator cannot be used as asked.
        """
        try:
            return (yield from self._steps(case, one_by_one))
        except GroupFailure as failure:
            self._name_log(failure)
            self.end_group()
            if self._launch.own or failure is self._cannot_start:
                raise
            named = _of_stack(failure, self._launch)
            named.log_path = failure.log_path
            if named.phase == "start":
                self._cannot_start = named  # other cases need not try again
            raise named from None
        except Exception:  # whatever it is, it cut the conversation with the worker off
            self.end_group()
            raise

    def _name_log(self, error: BaseException) -> None:
        if isinstance(error, GroupFailure) and self._group is not None and not error.mistake:
            error.log_path = self._group.log_path

    def _steps(self, case: Case, one_by_one: bool) -> Generator[None, None, Run]:
        started_at = utc_now()
        group = self._group_for(case)
        assert group.loaded is not None
        phases = dict(group.phases_s)
        group.phases_s = {}  # start and load are in the run that paid for them, once
        watch = HostWatch.begin()
        self._accelerator.announce(case)
        with _timed(phases, "prepare"):
            group.prepare(case)
            if group.telemetry is not None:
                group.telemetry.look()
        with _timed(phases, "first round"):
            first = self._ask_rounds(group, 1, "warm-up", []).latencies_s
        begin = time.monotonic()  # compiling graphs in the first round is not charged to the budget
        with _timed(phases, "warm-up"):
            warm_up = self._warm_up(group, case, begin, first)
        if group.telemetry is not None:
            group.telemetry.begin()
        left = self._plan.budget_s - (time.monotonic() - begin)
        last = warm_up.latencies_s[-1]
        log, phases["rounds"] = yield from self._rounds(group, case, left, last, one_by_one)
        telemetry = None
        if group.telemetry is not None:
            telemetry = group.telemetry.end(group.pids())
        with _timed(phases, "token rounds"):
            token_times = self._token_times(group, case)
        alone = None
        if case.configuration.devices > 1:
            with _timed(phases, "ranks by themselves"):
                request = protocol.PassesAlone(count=_PASSES_ALONE)
                alone = group.ask(request, protocol.PassesAloneDone, phase="ranks by themselves").rank_passes_s
        with _timed(phases, "check of the outputs"):
            checked = self._checker.check(group, case, log.token_ids)
        assert log.last is not None
        measurement = Measurement(
            latencies_s=log.latencies_s,
            probes_s=log.probes_s if len(log.probes_s) == len(log.latencies_s) else None,
            rank_latencies_s=log.rank_latencies_s or None,
            rank_skew=skew_of(log.rank_latencies_s),
            rank_passes_s=alone or None,
            warm_up=warm_up,
            token_times=token_times,
            tokenization_s=group.loaded.tokenization_s,
            peak_memory_bytes=log.peak_memory_bytes,
            graph_compilation=log.last.graph_compilation,
            token_ids=log.token_ids,
            trace=checked.trace,
            problems=[*log.problems, *problems_of(telemetry), *checked.problems],
            contradicts=checked.contradicts,
            notes=checked.notes,
            memory_bandwidth=group.loaded.memory_bandwidth,
            phases_s=phases,
            earlier_cases=list(self._measured),
            telemetry=telemetry,
        )
        self._measured.append(case.id)
        return Run(
            run_id=f"{self.session_id}-{uuid.uuid4().hex[:8]}",
            session_id=self.session_id,
            started_at=started_at,
            case=case,
            device=group.loaded.device,
            stack=group.loaded.stack,
            host=watch.end(1 if self._hosts is None else len(self._hosts.for_devices(case.configuration.devices))),
            measurement=measurement,
            stack_label=self._launch.name,
        )

    def _group_for(self, case: Case) -> WorkerGroup:
        spec = self.group_spec(case)
        if self._group is not None and self._group.spec == spec:
            return self._group
        self.end_group()
        if self._cannot_start is not None:
            raise self._cannot_start
        self._groups_started += 1
        self._measured = []
        name = f"{case.configuration.model}-{case.configuration.devices}x"
        if self._launch.name:
            name += f" on {self._launch.name}"
        group = WorkerGroup(
            spec,
            self._accelerator,
            self._directory / f"group-{self._groups_started}",
            self.deadlines,
            lambda text: self._notify(f"{name}: {text}"),
            launch=self._launch,
            hosts=self._hosts,
        )
        self._group = group
        self._notify(f"{name}: starting a worker")
        group.start()
        self._notify(f"{name}: loading")
        group.load()
        return group

    def group_spec(self, case: Case) -> protocol.GroupSpec:
        """What the worker group of a case must hold."""
        return protocol.GroupSpec(
            engine=self._accelerator.name,
            model=case.configuration.model,
            devices=case.configuration.devices,
            scale=case.scale,
            dtype=case.workload.dtype,
            weights=self._weights,
        )

    def _warm_up(self, group: WorkerGroup, case: Case, begin: float, first: list[float]) -> WarmUp:
        latencies = list(first)
        while True:
            judged = len(latencies)
            batch = self._batch(latencies, self._plan.warm_up_limit - len(latencies))
            latencies += self._ask_rounds(group, batch, "warm-up", latencies).latencies_s
            self._notify(f"{case.id}: warm-up round {len(latencies)}, {latencies[-1]:.3f} s")
            # Once steady is enough, at whichever round of the batch.
            states = [steady_start(latencies[:count]) for count in range(judged + 1, len(latencies) + 1)]
            state = next((state for state in states if state.start is not None), states[-1])
            if state.start is not None:
                return WarmUp(latencies_s=latencies, steady=True, reason=state.reason)
            if len(latencies) >= self._plan.warm_up_limit:
                reason = f"not steady after {len(latencies)} rounds, the limit: {state.reason}"
                return WarmUp(latencies_s=latencies, steady=False, reason=reason)
            if len(latencies) >= self._plan.minimum_rounds and time.monotonic() - begin > self._plan.budget_s:
                reason = f"not steady when the time budget was spent, after {len(latencies)} rounds: {state.reason}"
                return WarmUp(latencies_s=latencies, steady=False, reason=reason)

    def _rounds(
        self, group: WorkerGroup, case: Case, budget_s: float, last_latency: float, one_by_one: bool
    ) -> Generator[None, None, tuple[_RoundLog, float]]:
        """The rounds, and the time they took; whatever is done while it stops is not charged to them."""
        log, spent = _RoundLog(), 0.0
        minimum = min(self._plan.minimum_rounds, self._plan.rounds)
        while len(log.latencies_s) < self._plan.rounds and not (len(log.latencies_s) >= minimum and spent > budget_s):
            yield
            begin = time.monotonic()
            most = 1 if one_by_one else self._plan.rounds - len(log.latencies_s)
            batch = self._batch(log.latencies_s or [last_latency], most)
            log.add(self._ask_rounds(group, batch, "rounds", log.latencies_s or [last_latency]))
            spent += time.monotonic() - begin
            self._notify(f"{case.id}: round {len(log.latencies_s)}/{self._plan.rounds}, {log.latencies_s[-1]:.3f} s")
        yield
        return log, spent

    def _token_times(self, group: WorkerGroup, case: Case) -> TokenTimes | None:
        if self._plan.token_rounds == 0:
            return None
        self._notify(f"{case.id}: times of single tokens")
        request = protocol.TokenRounds(count=self._plan.token_rounds)
        done = group.ask(request, protocol.TokenRoundsDone, phase="token rounds")
        return TokenTimes(first_token_s=done.first_token_s, per_output_token_s=done.per_output_token_s)

    def _ask_rounds(self, group: WorkerGroup, count: int, phase: str, before: Sequence[float]) -> protocol.RoundsDone:
        # Any one round may take up to the deadline; all of them together may not take as often as long.
        expected = before[-1] if before else 0.0
        deadline = self.deadlines.round + _PATIENCE * expected * (count - 1)
        return group.ask(protocol.Rounds(count=count), protocol.RoundsDone, phase=phase, deadline=deadline)

    @staticmethod
    def _batch(latencies: Sequence[float], most: int) -> int:
        expected = latencies[-1] if latencies else _BATCH_SECONDS
        return max(1, min(most, int(_BATCH_SECONDS / expected)))


def _of_stack(failure: GroupFailure, launch: Launch) -> GroupFailure:
    """The failure with the name of its stack: one sentence where its worker cannot start."""
    missing = _MISSING_MODULE.search(failure.sentence)
    if failure.phase == "load" and missing:
        where = f"{' '.join(launch.program)}: install what gaudi-perf needs there"
        return GroupFailure("load", f"stack {launch.name!r} has no module {missing[1]!r} ({where})", mistake=True)
    if failure.phase != "start":
        sentence = f"stack {launch.name!r}: {failure.sentence}"
        return GroupFailure(failure.phase, sentence, failure.log, failure.mistake)
    last = failure.log.strip().splitlines()[-1:]
    sentence = f"stack {launch.name!r} cannot start its worker: {': '.join([failure.sentence, *last])}"
    remedy = "install gaudi-perf with what it needs there" if last and "No module named" in last[0] else "mend it"
    where = f"{' '.join(launch.program)}: {remedy}"
    return GroupFailure("start", f"{sentence} ({where})", mistake=True)


def utc_now() -> str:
    """The time, as documents have it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def _timed(phases: dict[str, float], name: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    phases[name] = time.monotonic() - begin
