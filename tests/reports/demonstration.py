"""Made-up results: sessions of a suite on a Gaudi2 over releases in which some cases got slower and some faster."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.run import GraphCompilation, Measurement, Run, TokenTimes, WarmUp
from gaudi_perf.vocabulary.stack import Device, Host, Stack
from gaudi_perf.vocabulary.verdict import CaseReport, Reason, Session, Verdict, VerdictKind
from gaudi_perf.vocabulary.workload import Workload
from tests.judging.factories import judge_runs

MODELS = {"bloomz176b": 4.0, "bloomz7b": 0.75, "bloomz560m": 0.16}
RELEASES = (
    ("1.20.0", "2.6.0", "1.20.0-543"),
    ("1.21.0", "2.6.0", "1.21.0-555"),
    ("1.22.0", "2.7.1", "1.22.0-740"),
    ("1.23.0", "2.9.0", "1.23.0-695"),
    ("1.24.0", "2.10.0", "1.24.0-817"),
)
DEVICE = Device(name="gaudi2", accelerator="hpu", memory_bytes=96 * 10**9, available=8)
FIRST_DAY = datetime(2026, 3, 1, 1, 30, tzinfo=timezone.utc)


class Demonstration:
    """Many sessions of many cases; the same each time for the same seed."""

    def __init__(self, directory: Path, *, cases: int = 16, sessions: int = 50, runs: int = 1, seed: int = 7) -> None:
        """Nothing is written.

        Args:
            directory: gets ``results`` and ``baselines``.
            runs: runs of each case in the last session; earlier sessions have one.
        """
        self.results = ResultsStore(directory / "results")
        self.baselines = BaselineStore(directory / "baselines")
        self.sessions, self.runs = sessions, runs
        self.cases = list(itertools.islice(all_cases(), cases))
        self._random = random.Random(seed)

    def write(self, *, store_baselines: bool = True) -> Session:
        """Write all documents; the last session is judged against the release before."""
        for day in range(self.sessions - 1):
            self._measured(day, 1)
        if store_baselines:
            for number in (len(RELEASES) - 2, len(RELEASES) - 1):
                at = self.sessions - 4 if number == len(RELEASES) - 1 else self._last_day_of(number)
                plan = [
                    self._run(case, at, f"base{number}-{place}-{index}", f"baseline-{number}")
                    for place, case in enumerate(self.cases)
                    for index in range(5)
                ]
                apply(plan_refresh(self.baselines, Refresh(plan, sessions_kept=1)))
        last = self._measured(self.sessions - 1, self.runs)
        session = Session(
            session_id=self.session_id(self.sessions - 1),
            started_at=_time(self._moment(self.sessions - 1)),
            ended_at=_time(self._moment(self.sessions - 1) + timedelta(minutes=74)),
            cases=[
                CaseReport(case=case, run_ids=[run.run_id for run in runs], verdicts=self._verdicts(runs, place))
                for place, (case, runs) in enumerate(zip(self.cases, last, strict=True))
            ],
        )
        self.results.write_session(session)
        return session

    def session_id(self, day: int) -> str:
        return f"{self._moment(day):%Y%m%dT%H%M%S}.000000Z-{day:08x}"

    def release(self, day: int) -> int:
        """Which release the session of a day ran on."""
        return min(day * len(RELEASES) // self.sessions, len(RELEASES) - 1)

    def level(self, place: int, day: int) -> float:
        """The true latency of a case: slower and faster with releases, and once by a change between them."""
        case = self.cases[place]
        base = MODELS[case.configuration.model] * (1 if case.configuration.kv_cache else 1.8)
        base *= (1 if case.configuration.graphs else 1.4) * 8 / (case.configuration.devices + 3)
        release = self.release(day)
        for number in range(1, release + 1):
            base *= math.exp(random.Random(f"{place}/{number}").gauss(-0.008, 0.014))
        if release == len(RELEASES) - 1 and place % 8 == 3:
            base *= 1.13
        if release == len(RELEASES) - 1 and place % 8 == 5:
            base *= 0.88
        return base * (1.07 if place % 8 == 6 and day >= self.sessions * 5 // 7 else 1.0)

    def _measured(self, day: int, runs: int) -> list[list[Run]]:
        made = []
        for place, case in enumerate(self.cases):
            made.append([self._run(case, day, f"n{day}-{place}-{index}", "") for index in range(runs)])
            for run in made[-1]:
                self.results.write_run(run)
        return made

    def _run(self, case: Case, day: int, run_id: str, session: str) -> Run:
        place = self.cases.index(case) if len(self.cases) < 100 else int(run_id.split("-")[1])
        spread = self._random.gauss
        level = self.level(place, day) * math.exp(spread(0, 0.006))
        rounds = [level * math.exp(abs(spread(0, 0.006)) + spread(0, 0.003)) for _ in range(10)]
        calm = random.Random(run_id).gauss  # probes that see no slow session
        probes = [0.02 * math.exp(calm(0, 0.003)) for _ in rounds]
        warm = [level * factor for factor in (7.5, 1.35, 1.12, 1.04, 1.02, 1.01, 1.0)]
        first = 0.11 * level
        return Run(
            run_id=run_id,
            session_id=session or self.session_id(day),
            started_at=_time(self._moment(day) + timedelta(seconds=17 * place)),
            case=case,
            device=DEVICE,
            stack=self.stack(day),
            host=Host(
                cpu="Xeon 8380", cores=160, memory_bytes=2**40, governor="performance", load=1.4, steal_percent=0
            ),
            measurement=Measurement(
                latencies_s=rounds,
                probes_s=probes,
                warm_up=WarmUp(latencies_s=warm, steady=True, reason="the last five rounds are alike"),
                token_times=TokenTimes(first_token_s=[first] * 3, per_output_token_s=[(level - first) / 99] * 3),
                peak_memory_bytes=int(52e9 / case.configuration.devices),
                graph_compilation=GraphCompilation(seconds=31.5 + spread(0, 1), count=12),
                phases_s={"start": 9.1, "load": 40.2, "warm-up": sum(warm), "rounds": sum(rounds)},
                token_ids=[3, 1, 4],
            ),
        )

    def stack(self, day: int) -> Stack:
        version, torch, driver = RELEASES[self.release(day)]
        late = day >= self.sessions * 5 // 7
        return Stack(
            kind="synapse",
            version=version,
            components={
                "driver": driver,
                "firmware": "hl-gaudi2-1.20.0-fw-58" if late else "hl-gaudi2-1.19.0-fw-57",
                "pytorch": torch,
                "optimum-habana": "1.18.0",
                "deepspeed": "0.16.1+hpu",
                "transformers": "4.51.3",
            },
            settings={"PT_HPU_LAZY_MODE": "1"},
        )

    def _verdicts(self, runs: Sequence[Run], place: int) -> list[Verdict]:
        if len(self.cases) < 100:
            return judge_runs(runs, self.baselines, "")
        ratio = self.level(place, self.sessions - 1) / self.level(place, self._last_day_of(len(RELEASES) - 2))
        kind = VerdictKind.REGRESSED if ratio > 1.06 else VerdictKind.UNCHANGED
        return [
            Verdict(
                kind=VerdictKind.IMPROVED if ratio < 0.94 else kind,
                reason=Reason.SLOWER if ratio > 1.06 else Reason.FASTER if ratio < 0.94 else Reason.WITHIN_TOLERANCE,
                p_slower=0.0001 if ratio > 1.06 else 0.9,
                p_faster=0.0001 if ratio < 0.94 else 0.9,
                role="release",
                baseline=f"{DEVICE.name}/synapse-{RELEASES[-2][0]}",
                baseline_stack=self.stack(self._last_day_of(len(RELEASES) - 2)),
                ratio=ratio,
                low=ratio * 0.978,
                high=ratio * 1.022,
                confidence=0.99,
                tolerance=0.05,
                smallest_visible_slowdown=0.041,
                baseline_median_s=self.level(place, self._last_day_of(len(RELEASES) - 2)),
            )
        ]

    def _last_day_of(self, release: int) -> int:
        return max((day for day in range(self.sessions) if self.release(day) == release), default=0)

    def _moment(self, day: int) -> datetime:
        return FIRST_DAY + timedelta(days=day)


def all_cases() -> Iterator[Case]:
    """Cases without end: models on ever more devices."""
    for devices in itertools.chain([8, 1, 2, 4], itertools.count(9)):
        for model, graphs, cache in itertools.product(MODELS, (True, False), (True, False)):
            configuration = Configuration(model=model, devices=devices, graphs=graphs, kv_cache=cache)
            yield Case(configuration=configuration, accelerator="hpu", workload=Workload(), scale="full")


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
