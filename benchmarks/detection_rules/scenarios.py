"""Scenarios: what is compared with what, on which noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detection_rules.noise import QuietServer, SharedMachine, load
from gaudi_perf.statistics.audit import draw_pairs, draw_stored
from gaudi_perf.statistics.evidence import Layout
from gaudi_perf.statistics.noise import NoisePrior, learn_noise_prior
from gaudi_perf.statistics.sample import RunSample, Sides

Draw = Callable[[np.random.Generator], Sides]

ROUNDS = 20


@dataclass(frozen=True)
class Scenario:
    """A comparison, to be repeated.

    Attributes:
        name: for the table.
        data: what the noise is, for the table.
        layout: how the two sides belong together.
        tolerance: of the verdicts.
        draw: draws the runs of one comparison, without a slowdown.
        prior: draws what is known about the noise; None where nothing is.
        first: pairs at the first interim analysis of a stopping plan.
        most: pairs at its last; 0 for no plan.
        draw_most: draws that many.
    """

    name: str
    data: str
    layout: Layout
    tolerance: float
    draw: Draw
    prior: Callable[[np.random.Generator], NoisePrior] | None = None
    first: int = 3
    most: int = 0
    draw_most: Draw | None = None


def _quiet_stored(server: QuietServer, sessions: int, runs: int, candidates: int) -> Draw:
    def draw(rng: np.random.Generator) -> Sides:
        baseline = [s for number in range(sessions) for s in server.runs(f"session {number}", runs, ROUNDS, rng)]
        return Sides(server.runs("candidate", candidates, ROUNDS, rng), baseline)

    return draw


def _quiet_pairs(server: QuietServer, pairs: int) -> Draw:
    def draw(rng: np.random.Generator) -> Sides:
        runs = server.runs("candidate", 2 * pairs, ROUNDS, rng)
        return Sides(runs[::2], runs[1::2])

    return draw


def _shared_stored(machine: SharedMachine, candidates: int, baselines: int) -> Draw:
    def draw(rng: np.random.Generator) -> Sides:
        return Sides(machine.series(candidates, ROUNDS, rng), machine.series(baselines, ROUNDS, rng))

    return draw


def _shared_pairs(machine: SharedMachine, pairs: int) -> Draw:
    def draw(rng: np.random.Generator) -> Sides:
        return draw_pairs(machine.series(2 * pairs, ROUNDS, rng), pairs, rng)

    return draw


def _thirty_sessions(server: QuietServer) -> Callable[[np.random.Generator], NoisePrior]:
    def learn(rng: np.random.Generator) -> NoisePrior:
        return learn_noise_prior([s for n in range(30) for s in server.runs(f"earlier {n}", 2, ROUNDS, rng)])

    return learn


def _known(rng: np.random.Generator) -> NoisePrior:
    """The quiet server's noise, known exactly: no rule can find more."""
    sure = 400.0
    return NoisePrior(session_freedom=sure, run_freedom=sure, shift_coefficient=1.0, shift_uncertainty=0.01)


def synthetic() -> list[Scenario]:
    """Scenarios on synthetic noise."""
    quiet, blind, shared = QuietServer(), QuietServer(probes=False), SharedMachine()
    text = "synthetic quiet server"
    return [
        Scenario("baseline of 5 sessions", text, Layout.STORED, 0.05, _quiet_stored(quiet, 5, 1, 5)),
        Scenario(
            "baseline of 5 sessions, noise learned from 30 sessions",
            text,
            Layout.STORED,
            0.05,
            _quiet_stored(quiet, 5, 1, 5),
            prior=_thirty_sessions(quiet),
        ),
        Scenario(
            "baseline of 5 sessions, noise known exactly",
            text,
            Layout.STORED,
            0.05,
            _quiet_stored(quiet, 5, 1, 5),
            prior=_known,
        ),
        Scenario("baseline of 5 runs of one session", text, Layout.STORED, 0.05, _quiet_stored(quiet, 1, 5, 5)),
        Scenario(
            "baseline of 5 runs of one session, noise known exactly",
            text,
            Layout.STORED,
            0.05,
            _quiet_stored(quiet, 1, 5, 5),
            prior=_known,
        ),
        Scenario(
            "baseline of 5 sessions, without probes",
            text,
            Layout.STORED,
            0.05,
            _quiet_stored(blind, 5, 1, 5),
        ),
        Scenario("side by side, 5 + 5, tolerance 2 %", text, Layout.SIDE_BY_SIDE, 0.02, _quiet_pairs(quiet, 5)),
        Scenario(
            "side by side, 5 + 5, tolerance 2 %, noise learned from 30 sessions",
            text,
            Layout.SIDE_BY_SIDE,
            0.02,
            _quiet_pairs(quiet, 5),
            prior=_thirty_sessions(quiet),
        ),
        Scenario(
            "side by side, 15 + 15, tolerance 1 %",
            text,
            Layout.SIDE_BY_SIDE,
            0.01,
            _quiet_pairs(quiet, 15),
            most=15,
            draw_most=_quiet_pairs(quiet, 15),
        ),
        Scenario(
            "side by side, 10 + 10",
            "synthetic shared machine",
            Layout.SIDE_BY_SIDE,
            0.05,
            _shared_pairs(shared, 10),
        ),
        Scenario(
            "baseline of 20 runs, 10 runs",
            "synthetic shared machine",
            Layout.STORED,
            0.05,
            _shared_stored(shared, 10, 20),
        ),
    ]


def unexpected() -> list[Scenario]:
    """Scenarios on a server that is not as the rule assumes, or no longer as its noise was learned."""
    quiet = QuietServer(bad=0.0)

    def changed(rng: np.random.Generator) -> NoisePrior:
        server = replace(quiet, session=0.003, run=0.002)
        return learn_noise_prior([s for n in range(60) for s in server.runs(f"earlier {n}", 2, ROUNDS, rng)])

    def slow(rng: np.random.Generator) -> Sides:
        return Sides(replace(quiet, bad=1.0).runs("candidate", 5, ROUNDS, rng), usual(rng).baseline)

    def other_clock(rng: np.random.Generator) -> Sides:
        sides = _quiet_stored(replace(quiet, probe=0.0003), 1, 5, 5)(rng)
        shifted = [replace(run, probes=None if run.probes is None else 1.007 * run.probes) for run in sides.candidate]
        return Sides(shifted, sides.baseline)

    usual = _quiet_stored(quiet, 5, 1, 5)
    draws: list[tuple[str, float, Draw]] = [
        ("sessions 3 % apart", 0.05, _quiet_stored(replace(quiet, session=0.03), 5, 1, 5)),
        ("runs 2 % apart", 0.05, _quiet_stored(replace(quiet, run=0.02), 5, 1, 5)),
        ("runs 3 % apart after a quiet history", 0.05, _quiet_stored(replace(quiet, run=0.03), 5, 1, 5)),
        ("the session is slow", 0.05, slow),
        ("only the probes are 0.7 % slower", 0.025, other_clock),
        ("3 pairs, rounds alike", 0.02, _quiet_pairs(replace(quiet, round=0.0005), 3)),
    ]
    return [
        Scenario(
            name,
            "unexpected",
            Layout.SIDE_BY_SIDE if "pairs" in name else Layout.STORED,
            tolerance,
            draw,
            prior=changed if "history" in name else None,
        )
        for name, tolerance, draw in draws
    ]


def _recorded_pairs(samples: Sequence[RunSample], pairs: int) -> Draw:
    return lambda rng: draw_pairs(samples, pairs, rng)


def _recorded_stored(samples: Sequence[RunSample], candidates: int, baselines: int) -> Draw:
    return lambda rng: draw_stored(samples, candidates, baselines, rng)


def recorded(directory: Path) -> list[Scenario]:
    """Scenarios on the noise recorded in a directory."""
    scenarios = []
    for path in sorted(directory.glob("*.npz")):
        if path.name.endswith(".part.npz"):
            continue
        noise = load(path)
        kind = "held out" if noise.held_out else "fitted"
        samples, text = noise.samples, f"recorded {noise.name}, {kind}: {noise.description}"
        if noise.in_turns:
            most = min(30, len(samples) // 2)
            scenarios.append(
                Scenario(
                    "rounds in turns, 10 + 10",
                    text,
                    Layout.INTERLEAVED,
                    0.05,
                    _recorded_pairs(samples, 10),
                    most=most,
                    draw_most=_recorded_pairs(samples, most),
                )
            )
        else:
            scenarios += [
                Scenario(
                    "side by side, 10 + 10",
                    text,
                    Layout.SIDE_BY_SIDE,
                    0.05,
                    _recorded_pairs(samples, 10),
                    most=30 if noise.name == "idle" else 0,
                    draw_most=_recorded_pairs(samples, 30) if noise.name == "idle" else None,
                ),
                Scenario("baseline of 20 runs, 10 runs", text, Layout.STORED, 0.05, _recorded_stored(samples, 10, 20)),
            ]
    return scenarios
