"""Noise to compare rules on: synthetic, and recorded by ``benchmarks/record_noise.py``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaudi_perf.statistics.sample import RunSample

_HELD_OUT = "_held_out"
ROUND_SECONDS = 1.0
PROBE_SECONDS = 0.02


@dataclass(frozen=True)
class Luck:
    """What a session does to all its rounds and all its probes, in logarithms."""

    rounds: float
    probes: float


@dataclass(frozen=True)
class QuietServer:
    """Synthetic: an accelerator server. Numbers are standard deviations of logarithms.

    Attributes:
        session: between sessions.
        run: between runs of a session.
        round: between rounds of a run.
        bad: share of sessions that are slow.
        slow: by how much.
        probe: own jitter of the probes, between sessions, between runs, and tenfold between rounds. They see that a
            session is slow, and nothing of the other noise.
        probes: whether there are probes at all.
    """

    session: float = 0.01
    run: float = 0.005
    round: float = 0.01
    bad: float = 0.03
    slow: float = 0.08
    probe: float = 0.003
    probes: bool = True

    def luck(self, rng: np.random.Generator) -> Luck:
        """A session's."""
        slow = float(np.log1p(self.slow)) if rng.random() < self.bad else 0.0
        return Luck(slow + rng.normal(0, self.session), slow + rng.normal(0, self.probe))

    def run_of(self, luck: Luck, label: str, rounds: int, rng: np.random.Generator) -> RunSample:
        """A run of a session."""
        level, probe_level = luck.rounds + rng.normal(0, self.run), luck.probes + rng.normal(0, self.probe)
        return RunSample(
            rounds=ROUND_SECONDS * np.exp(level + rng.normal(0, self.round, rounds)),
            probes=PROBE_SECONDS * np.exp(probe_level + rng.normal(0, 10 * self.probe, rounds))
            if self.probes
            else None,
            session=label,
        )

    def runs(self, label: str, count: int, rounds: int, rng: np.random.Generator) -> list[RunSample]:
        """The runs of a session."""
        luck = self.luck(rng)
        return [self.run_of(luck, label, rounds, rng) for _ in range(count)]


@dataclass(frozen=True)
class SharedMachine:
    """Synthetic: a shared virtual machine. Numbers are standard deviations of logarithms.

    Levels of runs spread by 32 %; the logarithms of rounds and of probes correlate by 0.96, so 9 % are left after
    correction, as in a first trial on such a machine. What the machine does to runs is autocorrelated.

    Attributes:
        machine: what rounds and probes share.
        memory: correlation of that between neighbouring runs.
        own: what each run has for itself.
        round: between rounds of a run; a tenth of them are twice as long.
        probe: own jitter of the probes of a run, and tenfold between rounds.
    """

    machine: float = 0.307
    memory: float = 0.5
    own: float = 0.09
    round: float = 0.1
    probe: float = 0.02

    def series(self, count: int, rounds: int, rng: np.random.Generator) -> list[RunSample]:
        """Neighbouring runs."""
        state = rng.normal(0, self.machine)
        made = []
        for _ in range(count):
            state = self.memory * state + np.sqrt(1 - self.memory**2) * rng.normal(0, self.machine)
            bursts = np.where(rng.random(rounds) < 0.1, np.log(2.0), 0.0)
            level = state + rng.normal(0, self.own)
            made.append(
                RunSample(
                    rounds=ROUND_SECONDS * np.exp(level + bursts + rng.normal(0, self.round, rounds)),
                    probes=PROBE_SECONDS
                    * np.exp(state + rng.normal(0, self.probe) + rng.normal(0, 10 * self.probe, rounds)),
                )
            )
        return made


@dataclass(frozen=True)
class Recorded:
    """Noise recorded on a machine.

    Attributes:
        name: of its file, without what follows.
        held_out: whether it was recorded after the constants of the rule were fixed, and had no part in fixing them:
            the file's name ends with ``_held_out``.
        samples: runs in the order of measurement; with ``in_turns``, the two of a pair follow each other.
        in_turns: whether the rounds of a pair were taken in turns.
        description: what the recorder wrote about it.
    """

    name: str
    held_out: bool
    samples: list[RunSample]
    in_turns: bool
    description: str


def load(path: Path) -> Recorded:
    """Read what ``benchmarks/record_noise.py`` wrote."""
    with np.load(path, allow_pickle=False) as data:
        description = json.loads(str(data["description"]))
        probes = data["probes"].astype(np.float64)
        samples = [
            RunSample(rounds=rounds, probes=probes[number] if probes.size else None)
            for number, rounds in enumerate(data["rounds"].astype(np.float64))
        ]
    text = f"{len(samples)} runs of {samples[0].rounds.size} rounds, competing load {description['load']}"
    if description["note"]:
        text += f", {description['note']}"
    name = path.stem.removesuffix(_HELD_OUT)
    return Recorded(name, name != path.stem, samples, bool(description["in_turns"]), text)
