"""Runs with chosen noise, and references made of them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import msgspec

from gaudi_perf.judging import CaseJudge, NoiseHistory, Rules, evidence_against_baselines
from gaudi_perf.judging.evidence import CaseEvidence, Reference
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.run import GraphCompilation, Run, TokenTimes
from gaudi_perf.vocabulary.verdict import Verdict
from tests.stores.factories import make_run


def noisy_runs(
    count: int,
    *,
    level: float = 1.0,
    spread: float = 0.003,
    seed: str = "a",
    session: str = "20260131T120000.000000Z-00000001",
    first_token: float = 0.1,
    per_token: float = 0.01,
    compilation: float | None = None,
    memory: int = 10**9,
    earlier: Sequence[str] | None = (),
    label: str = "",
) -> list[Run]:
    """Runs whose levels and rounds spread as given."""
    dice = random.Random(seed)

    def about(value: float) -> float:
        return value * math.exp(dice.gauss(0, spread))

    made = []
    for _ in range(count):
        own = about(level)
        run = make_run([about(own) for _ in range(6)], session=session, run_id=f"{session}-{dice.getrandbits(32):08x}")
        measurement = msgspec.structs.replace(
            run.measurement,
            probes_s=[about(0.02) for _ in range(6)],
            token_times=TokenTimes(
                first_token_s=[about(first_token) for _ in range(3)],
                per_output_token_s=[about(per_token) for _ in range(3)],
            ),
            graph_compilation=None if compilation is None else GraphCompilation(seconds=about(compilation), count=1),
            peak_memory_bytes=memory,
            earlier_cases=None if earlier is None else list(earlier),
        )
        made.append(msgspec.structs.replace(run, measurement=measurement, stack_label=label))
    return made


def case_of(number: int) -> Case:
    """A case of a session, another one for every number."""
    return make_run(new_tokens=number + 1).case


def judge_runs(
    runs: Sequence[Run], store: BaselineStore, against: str, history: NoiseHistory | None = None
) -> list[Verdict]:
    """The verdicts of the runs of a case against every baseline that applies, or the one that is named."""
    return list(CaseJudge(Rules()).judge(evidence_against_baselines(runs, store, against, history)).verdicts)


def against(candidate: Sequence[Run], *baselines: Sequence[Run]) -> CaseEvidence:
    """The evidence of runs held against other runs, as if those were stored."""
    references = tuple(
        Reference(
            role="named",
            label=f"gaudi2/baseline-{number}",
            stack=runs[0].stack,
            runs=tuple(run for run in runs),
            level_s=1.0,
        )
        for number, runs in enumerate(baselines)
    )
    return CaseEvidence(tuple(run for run in candidate), references)
