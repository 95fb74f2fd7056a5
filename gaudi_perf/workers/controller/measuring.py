"""Measures cases: keeps the right worker group, warms up until steady, times rounds, and makes the run document."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path

from msgspec import UNSET
from msgspec.structs import replace

from gaudi_perf import protocol
from gaudi_perf.accelerators.base import Accelerator
from gaudi_perf.accelerators.host import HostWatch
from gaudi_perf.statistics.ranks import skew_of
from gaudi_perf.statistics.warmup import steady_start
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.gaudi_options import GaudiOptions
from gaudi_perf.vocabulary.models import Model, shipped_model
from gaudi_perf.vocabulary.run import Measurement, Run, TokenTimes, WarmUp
from gaudi_perf.vocabulary.workload import FP8
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

_MISSING_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'")

Notify = Callable[[str], None]


@dataclass(eq=False, repr=False)
class Measurer(contextlib.AbstractContextManager["Measurer"]):
    """Measures the cases of a session, one worker group at a time.

    The group of a case stays for the cases that share it, so that each (model, device count) is loaded once. Use it as
    a context manager: what it started ends with it. ``directory`` is a private one, for sockets and logs; ``notify``
    takes a line for people about what is being done, ``model`` gives the model of a name.
    """

    accelerator: Accelerator
    weights: protocol.Weights
    plan: MeasurementPlan
    deadlines: Deadlines
    directory: Path
    session_id: str
    notify: Notify = lambda text: None
    launch: Launch = field(default_factory=Launch)
    hosts: Hosts | None = None
    model: Callable[[str], Model] = shipped_model
    _group: WorkerGroup | None = field(default=None, init=False)
    _groups_started: int = field(default=0, init=False)
    _measured: list[str] = field(default_factory=list, init=False)  # cases of the present group
    _cannot_start: GroupFailure | None = field(default=None, init=False)
    _checker: OutputChecker = field(default_factory=OutputChecker, init=False)

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
        """The worker group that holds a case's model; it is ended if something fails.

        Raises GroupFailure if it died, hung or failed, UserError if its accelerator cannot be used as asked.
        """
        try:
            yield self._group_for(case)
        except Exception as error:  # whatever it is, it cut the conversation with the worker off
            if isinstance(error, GroupFailure) and self._group is not None and not error.mistake:
                error.log_path = self._group.processes.log_path
            self.end_group()
            raise

    def measure(self, case: Case) -> Run:
        """One run of a case, in the current worker group if that holds its model, else in a fresh one.

        Raises what ``group_of`` does.
        """
        return next(run for run in self.steps(case) if run is not None)

    def steps(self, case: Case, *, one_by_one: bool = False) -> Iterator[Run | None]:
        """The same, step by step: None before the first round, between batches of rounds, and after the last; the run.

        ``one_by_one``: a batch is a single round, so that another stack's rounds can be taken in turns with it.
        """
        started_at = utc_now()
        try:
            with self.group_of(case) as group:
                watch = HostWatch.begin()
                measurement = yield from self._measurement(group, case, one_by_one)
        except GroupFailure as failure:
            if self.launch.own or failure is self._cannot_start:
                raise
            named = _of_stack(failure, self.launch)
            if named.phase == "start":
                self._cannot_start = named  # other cases need not try again
            raise named from None
        yield self.run_of(case, group, started_at, watch, measurement)

    def run_of(
        self, case: Case, group: WorkerGroup, started_at: str, watch: HostWatch, measurement: Measurement
    ) -> Run:
        """The document of a run that ends now; options of Gaudi that are in effect are among its stack's settings."""
        hosts = 1 if self.hosts is None else len(self.hosts.for_devices(case.configuration.devices))
        options = case.gaudi_options.on if case.gaudi_options else {}
        settings = group.loaded.stack.settings | {name: str(value).lower() for name, value in options.items()}
        return Run(
            run_id=f"{self.session_id}-{uuid.uuid4().hex[:8]}",
            session_id=self.session_id,
            started_at=started_at,
            case=case,
            device=group.loaded.device,
            stack=replace(group.loaded.stack, settings=settings),
            host=watch.end(hosts),
            measurement=measurement,
            stack_label=self.launch.name,
            architecture=group.spec.architecture or UNSET,
        )

    def _measurement(self, group: WorkerGroup, case: Case, one_by_one: bool) -> Generator[None, None, Measurement]:
        def more(before: list[float]) -> list[float]:
            batch = _batch(before[-1], self.plan.warm_up_limit - len(before))
            latencies = self._ask_rounds(group, batch, "warm-up", before[-1]).latencies_s
            self.notify(f"{case.id}: warm-up round {len(before) + len(latencies)}, {latencies[-1]:.3f} s")
            return latencies

        phases, group.phases_s = group.phases_s, {}  # start and load are in the run that paid for them, once
        self.accelerator.announce(case)
        with _timed(phases, "prepare"):
            tokenization_s = group.prepare(case)
            if group.telemetry is not None:
                group.telemetry.look()
        with _timed(phases, "first round"):
            first = self._ask_rounds(group, 1, "warm-up", 0.0).latencies_s
        begin = time.monotonic()  # compiling graphs in the first round is not charged to the budget
        with _timed(phases, "warm-up"):
            plan = self.plan
            warm = warm_up(first, more, limit=plan.warm_up_limit, minimum=plan.minimum_rounds, budget_s=plan.budget_s)
        if group.telemetry is not None:
            group.telemetry.begin()
        left = self.plan.budget_s - (time.monotonic() - begin)
        rounds, phases["rounds"] = yield from self._rounds(group, case, left, warm.latencies_s[-1], one_by_one)
        telemetry = None if group.telemetry is None else group.telemetry.end(group.processes.pids())
        token_times = None
        with _timed(phases, "token rounds"):
            if self.plan.token_rounds:
                self.notify(f"{case.id}: times of single tokens")
                tokens = protocol.TokenRounds(count=self.plan.token_rounds)
                done = group.ask(tokens, protocol.TokenRoundsDone, phase="token rounds")
                token_times = TokenTimes(first_token_s=done.first_token_s, per_output_token_s=done.per_output_token_s)
        alone = None
        if case.configuration.devices > 1:
            with _timed(phases, "ranks by themselves"):
                request = protocol.PassesAlone(count=_PASSES_ALONE)
                alone = group.ask(request, protocol.PassesAloneDone, phase="ranks by themselves").rank_passes_s
        with _timed(phases, "check of the outputs"):
            checked = self._checker.check(group, case, rounds.rows, rounds.prompts)
        earlier_cases, self._measured = self._measured, [*self._measured, case.id]
        return Measurement(
            latencies_s=rounds.latencies_s,
            probes_s=rounds.probes_s,
            rank_latencies_s=rounds.rank_latencies_s,
            rank_skew=skew_of(rounds.rank_latencies_s or []),
            rank_passes_s=alone or None,
            warm_up=warm,
            token_times=token_times,
            tokenization_s=tokenization_s,
            peak_memory_bytes=rounds.peak_memory_bytes,
            graph_compilation=rounds.graph_compilation,
            token_ids=rounds.token_ids,
            trace=checked.trace,
            problems=[*rounds.problems, *problems_of(telemetry), *checked.problems],
            contradicts=checked.contradicts,
            notes=checked.notes,
            memory_bandwidth=group.loaded.memory_bandwidth,
            phases_s=phases,
            earlier_cases=earlier_cases,
            telemetry=telemetry,
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
        if self.launch.name:
            name += f" on {self.launch.name}"
        group = self._group = WorkerGroup(
            spec,
            self.accelerator,
            self.directory / f"group{self._groups_started}",
            self.deadlines,
            lambda text: self.notify(f"{name}: {text}"),
            launch=self.launch,
            hosts=self.hosts,
        )
        self.notify(f"{name}: starting a worker")
        group.start()
        self.notify(f"{name}: loading")
        group.load()
        return group

    def group_spec(self, case: Case) -> protocol.GroupSpec:
        """What the worker group of a case must hold."""
        model = self.model(case.configuration.model)
        return protocol.GroupSpec(
            engine=self.accelerator.name,
            architecture=None if model.known_by_name else model.at(case.scale),
            hub_id="" if model.known_by_name else model.hub_id,
            model=case.configuration.model,
            devices=case.configuration.devices,
            scale=case.scale,
            dtype=case.workload.dtype,
            weights=self.weights,
            gaudi_options=(case.workload.dtype in FP8 and case.gaudi_options) or GaudiOptions(),
        )

    def _rounds(
        self, group: WorkerGroup, case: Case, budget_s: float, last: float, one_by_one: bool
    ) -> Generator[None, None, tuple[protocol.RoundsDone, float]]:
        """The rounds, and the time they took; whatever is done while it stops is not charged to them."""
        batches: list[protocol.RoundsDone] = []
        done, spent, wanted = 0, 0.0, self.plan.rounds
        while done < wanted and not (done >= min(self.plan.minimum_rounds, wanted) and spent > budget_s):
            yield
            begin = time.monotonic()
            count = _batch(last, 1 if one_by_one else wanted - done)
            batches.append(self._ask_rounds(group, count, "rounds", last))
            spent += time.monotonic() - begin
            done, last = done + len(batches[-1].latencies_s), batches[-1].latencies_s[-1]
            self.notify(f"{case.id}: round {done}/{wanted}, {last:.3f} s")
        yield
        return joined(batches), spent

    def _ask_rounds(self, group: WorkerGroup, count: int, phase: str, expected_s: float) -> protocol.RoundsDone:
        # Any one round may take up to the deadline; all of them together may not take as often as long.
        deadline = self.deadlines.round + _PATIENCE * expected_s * (count - 1)
        return group.ask(protocol.Rounds(count=count), protocol.RoundsDone, phase=phase, deadline=deadline)


def warm_up(
    latencies: list[float],
    more: Callable[[list[float]], list[float]],
    *,
    limit: int,
    minimum: int,
    budget_s: float,
    unit: str = "rounds",
) -> WarmUp:
    """Take more rounds, given those before, until they are steady, at the limit, or the time is spent."""
    begin = time.monotonic()
    while True:
        judged = len(latencies)
        latencies = latencies + more(latencies)
        # Once steady is enough, at whichever round of a batch.
        states = [steady_start(latencies[:count]) for count in range(judged + 1, len(latencies) + 1)]
        state = next((state for state in states if state.start is not None), states[-1])
        if state.start is not None:
            return WarmUp(latencies_s=latencies, steady=True, reason=state.reason)
        ended = ""
        if len(latencies) >= limit:
            ended = f"after {len(latencies)} {unit}, the limit"
        elif len(latencies) >= minimum and time.monotonic() - begin > budget_s:
            ended = f"when the time budget was spent, after {len(latencies)} {unit}"
        if ended:
            return WarmUp(latencies_s=latencies, steady=False, reason=f"not steady {ended}: {state.reason}")


def _batch(expected_s: float, most: int) -> int:
    return max(1, min(most, int(_BATCH_SECONDS / expected_s)))


def joined(batches: Sequence[protocol.RoundsDone]) -> protocol.RoundsDone:
    """Batches of rounds, one after the other, as one; different tokens are a problem."""
    last = batches[-1]
    latencies = [latency for done in batches for latency in done.latencies_s]
    probes = [probe for done in batches for probe in done.probes_s or []]
    peaks = [done.peak_memory_bytes for done in batches if done.peak_memory_bytes is not None]
    problems = [problem for done in batches for problem in done.problems]
    same_tokens = all(done.same_tokens and done.rows == last.rows for done in batches)
    if not same_tokens:
        problems.append("the rounds did not give the same tokens")
    of_ranks = zip(*(done.rank_latencies_s or [] for done in batches), strict=True)
    return replace(
        last,
        latencies_s=latencies,
        probes_s=probes if len(probes) == len(latencies) else None,
        rank_latencies_s=[list(chain(*of_rank)) for of_rank in of_ranks] or None,
        peak_memory_bytes=max(peaks, default=None),
        same_tokens=same_tokens,
        problems=list(dict.fromkeys(problems)),
    )


def _of_stack(failure: GroupFailure, launch: Launch) -> GroupFailure:
    """The failure with the name of its stack: one sentence where its worker cannot start."""
    stack, program = f"stack {launch.name!r}", " ".join(launch.program)
    missing = _MISSING_MODULE.search(failure.sentence)
    if failure.phase == "load" and missing:
        sentence = f"{stack} has no module {missing[1]!r} ({program}: install what gaudi-perf needs there)"
    elif failure.phase != "start":
        return dataclasses.replace(failure, sentence=f"{stack}: {failure.sentence}")
    else:
        last = failure.log.strip().splitlines()[-1:]
        remedy = "install gaudi-perf with what it needs there" if last and "No module named" in last[0] else "mend it"
        sentence = f"{stack} cannot start its worker: {': '.join([failure.sentence, *last])} ({program}: {remedy})"
    return dataclasses.replace(failure, sentence=sentence, log="", mistake=True)


def utc_now() -> str:
    """The time, as documents have it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def _timed(phases: dict[str, float], name: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    phases[name] = time.monotonic() - begin
