"""Runs with known noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from gaudi_perf.statistics.sample import RunSample


def make_runs(
    rng: np.random.Generator,
    count: int,
    *,
    level: float = 0.0,
    run: float = 0.005,
    round_: float = 0.01,
    rounds: int = 20,
    session: str = "",
    probes: np.ndarray | None = None,
) -> list[RunSample]:
    """Runs whose levels spread by ``run`` around ``exp(level)`` seconds; probes as given, a level for each run."""
    made = []
    for number in range(count):
        logs = level + rng.normal(0, run) + rng.normal(0, round_, rounds)
        probe = None if probes is None else np.exp(probes[number] + rng.normal(0, 0.001, rounds)) * 1e-3
        made.append(RunSample(rounds=np.exp(logs), probes=probe, session=session))
    return made


def slowed(runs: list[RunSample], slowdown: float) -> list[RunSample]:
    """The same runs with all rounds longer by a share; the probes stay, for the machine is the same."""
    return [replace(run, rounds=run.rounds * (1 + slowdown)) for run in runs]


@st.composite
def samples(draw: st.DrawFn, *, least: int = 1, most: int = 6, probes: bool | None = None) -> list[RunSample]:
    """Any runs: levels, noise and probes of all sizes that occur."""
    count = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    run, round_ = draw(st.sampled_from([0.0, 0.002, 0.03, 0.3])), draw(st.sampled_from([0.0, 0.01, 0.2]))
    with_probes = draw(st.booleans()) if probes is None else probes
    machine = rng.normal(0, draw(st.sampled_from([0.001, 0.2])), count) if with_probes else None
    rounds = draw(st.integers(1, 12))
    level = draw(st.floats(-5, 5))
    return make_runs(rng, count, level=level, run=run, round_=round_, rounds=rounds, probes=machine)


def scaled(runs: list[RunSample], factor: float) -> list[RunSample]:
    """The same runs on a clock that runs at another speed; probes too."""
    return [
        RunSample(
            rounds=run.rounds * factor,
            probes=None if run.probes is None else run.probes * factor,
            session=run.session,
        )
        for run in runs
    ]
