"""The usual noise of an installation: how far runs and nights of a case lie apart, learned from its history.

Nobody but the history knows how far the nights of a machine lie apart: runs of one night, or a published number, tell
nothing of it. docs/detection.md says what that is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gaudi_perf.statistics.noise import NoisePrior, learn_noise_prior
from gaudi_perf.statistics.sample import RunSample, levels
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.places import places_of_device
from gaudi_perf.vocabulary.baseline import CaseBaseline
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.summary import RunSummary

FEWEST_NIGHTS = 10
"""With fewer, what is learned is worth less than what is assumed of a quiet server."""
NEWEST_NIGHTS = 30
"""Older nights say little of what is usual now."""
_MOST = 2.0
"""Rounds change by at most this much of what the probes do, in logarithms; more is chance."""


@dataclass(frozen=True)
class NoiseEstimate:
    """What a history taught of the noise.

    Attributes:
        prior: what is known about the noise by now.
        runs: of how many runs.
        sessions: of how many sessions.
    """

    prior: NoisePrior
    runs: int
    sessions: int


@dataclass(frozen=True)
class _Known:
    """A run of the history."""

    run_id: str
    started_at: str
    night: str
    latencies_s: tuple[float, ...]
    probes_s: tuple[float, ...] | None

    @property
    def sample(self) -> RunSample:
        probes = None if self.probes_s is None else np.asarray(self.probes_s, dtype=np.float64)
        return RunSample(np.asarray(self.latencies_s, dtype=np.float64), probes, self.night)


_Key = tuple[str, ...]
"""What must be equal: the case with its workload, scale and weights, the device, the host class, the kind of stack."""
_Code = tuple[bytes, str]
"""The stack with its components and settings, and what the stacks' file calls it."""


class NoiseHistory:
    """The stored runs of an installation, as far as they teach what noise is usual. Read when first asked."""

    def __init__(self, read: Callable[[], Iterable[RunSummary]], baselines: BaselineStore | None = None) -> None:
        """Nothing is read.

        Args:
            read: gives all runs that were ever measured; a ``UserError`` means none.
            baselines: whose runs teach, too.
        """
        self._read = read
        self._baselines = baselines
        self._results: dict[_Key, dict[_Code, dict[str, _Known]]] | None = None
        self._stored: dict[_Key, dict[_Code, dict[str, _Known]]] = {}
        self._learned: dict[tuple[_Key, bytes, frozenset[str], bool], NoiseEstimate | None] = {}

    @classmethod
    def of(cls, results: Path, baselines: BaselineStore) -> NoiseHistory:
        """The history of a results directory and of the baselines."""
        return cls(lambda: read_history(results).runs, baselines)

    def usual(
        self,
        case: Case | CaseBaseline,
        device: str,
        host_class: str,
        stack: Stack,
        without: Iterable[str] = (),
        *,
        probes: bool,
    ) -> NoiseEstimate | None:
        """What noise is usual for a case on a device and a host.

        It is learned from runs of one and the same stack: the one with the most nights, and that in question, where it
        has as many.

        Args:
            case: the case; its workload, scale and weights count.
            device: the device's name.
            host_class: processor and cores.
            stack: the stack in question.
            without: nights that teach nothing: those that are compared.
            probes: whether all runs that are compared have reference probes.

        Returns:
            What was learned; None if fewer than ``FEWEST_NIGHTS`` nights are known.
        """
        key = (*_of_case(case), device, host_class, stack.kind)
        asked = key, encode_line(stack), frozenset(without), probes
        if asked not in self._learned:
            self._learned[asked] = self._learn(*asked)
        return self._learned[asked]

    def _learn(self, key: _Key, own: bytes, kept_out: frozenset[str], probes: bool) -> NoiseEstimate | None:
        best: list[_Known] = []
        for _, known in sorted(self._codes(key).items(), key=lambda item: (item[0][0] != own, item[0])):
            runs = sorted(known.values(), key=lambda one: (one.started_at, one.run_id))
            if len({one.night for one in runs} - kept_out) > len({one.night for one in best} - kept_out):
                best = runs
        nights = list(dict.fromkeys(one.night for one in best if one.night not in kept_out))
        newest = set(nights[-NEWEST_NIGHTS:])
        return learned_from([one.sample for one in best if one.night in newest], probes=probes)

    def _codes(self, key: _Key) -> dict[_Code, dict[str, _Known]]:
        """The runs of a case by what code they are of; those of the results and of the baselines count once."""
        if self._results is None:
            self._results = _by_case(self._read)
        if key not in self._stored:
            self._stored[key] = self._from_baselines(key)
        codes = {code: dict(known) for code, known in self._stored[key].items()}
        for code, known in self._results.get(key, {}).items():
            codes.setdefault(code, {}).update(known)
        return codes

    def _from_baselines(self, key: _Key) -> dict[_Code, dict[str, _Known]]:
        codes: dict[_Code, dict[str, _Known]] = {}
        try:
            places = [] if self._baselines is None else places_of_device(self._baselines.directory, key[-3])
        except UserError:
            return codes
        for place in places:
            try:
                assert self._baselines is not None
                baseline = self._baselines.load(place)
            except UserError:  # who needs this file is told
                continue
            for case in baseline.cases:
                stack = baseline.stack_of(case)
                if case.runs and (*_of_case(case), place.device, case.host_class, stack.kind) == key:
                    known = codes.setdefault((encode_line(stack), ""), {})
                    for one in case.runs:
                        probes = None if one.probes_s is None else tuple(one.probes_s)
                        known[one.run_id] = _Known(
                            one.run_id, one.measured_at, one.night, tuple(one.latencies_s), probes
                        )
        return codes


def learned_from(samples: Sequence[RunSample], without: Collection[str] = (), *, probes: bool) -> NoiseEstimate | None:
    """Learn the usual noise from runs of the same code.

    Args:
        samples: in the order of measurement, with their nights.
        without: nights that teach nothing.
        probes: whether what is compared has reference probes. Then what they explain of the history is no noise: the
            comparison corrects for it, too.

    Returns:
        What was learned; None if fewer than ``FEWEST_NIGHTS`` nights are left.
    """
    nights: dict[str, list[RunSample]] = {}
    for sample in samples:
        if sample.session not in without:
            nights.setdefault(sample.session, []).append(sample)
    if len(nights) < FEWEST_NIGHTS:
        return None
    newest = list(nights.values())[-NEWEST_NIGHTS:]
    those = [sample for night in newest for sample in night]
    noise = learn_noise_prior(those)
    if probes and (corrected := _corrected(those)) is not None:
        left = learn_noise_prior(corrected)
        noise = replace(noise, run=left.run, session=left.session)
    return NoiseEstimate(noise, len(those), len(newest))


def _corrected(samples: Sequence[RunSample]) -> list[RunSample] | None:
    """The runs without what their probes explain, by least squares; None where some have no probes."""
    known = [sample.probe_level for sample in samples]
    signs = np.array([level for level in known if level is not None])
    if signs.size < len(samples):
        return None
    signs -= signs.mean()
    values = levels(samples)
    variance = float(signs @ signs)
    coefficient = float(np.clip(signs @ (values - values.mean()) / variance, 0.0, _MOST)) if variance > 0 else 0.0
    return [
        replace(sample, rounds=sample.rounds * np.exp(-coefficient * sign))
        for sample, sign in zip(samples, signs, strict=True)
    ]


def _by_case(read: Callable[[], Iterable[RunSummary]]) -> dict[_Key, dict[_Code, dict[str, _Known]]]:
    cases: dict[_Key, dict[_Code, dict[str, _Known]]] = {}
    try:
        runs = list(read())
    except UserError:
        return cases
    lines: dict[int, bytes] = {}  # cases and stacks are shared between summaries
    shared: dict[int, _Key] = {}
    for run in runs:
        if not run.valid or not run.steady:
            continue
        if id(run.stack) not in lines:
            lines[id(run.stack)] = encode_line(run.stack)
        if id(run.case) not in shared:
            shared[id(run.case)] = _of_case(run.case)
        key = (*shared[id(run.case)], run.device.name, run.host_class, run.stack.kind)
        codes = cases.setdefault(key, {})
        known = codes.setdefault((lines[id(run.stack)], run.stack_label), {})
        known[run.run_id] = _Known(run.run_id, run.started_at, run.session_id, run.latencies_s, run.probes_s)
    return cases


def _of_case(case: Case | CaseBaseline) -> tuple[str, ...]:
    return (case.id, case.scale, case.weights, encode_line(case.workload).decode())
