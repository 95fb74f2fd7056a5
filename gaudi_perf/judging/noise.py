"""The noise of an installation: how far runs and sessions of a case lie apart, estimated from its history.

docs/detection.md says what that is worth.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from gaudi_perf.judging.samples import sample_of
from gaudi_perf.statistics.noise import NoisePrior, learn_noise_prior, with_slow_share
from gaudi_perf.statistics.sample import RunSample, all_known, by_session, levels
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.places import places_of_device
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Comparability, Run, in_order
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import LearnedNoise

FEWEST_SESSIONS = 10
"""With fewer, how far they lie apart is worth less than what is assumed of a quiet server."""
NEWEST_SESSIONS = 30
"""Older sessions say little of what is usual now."""
_MOST = 2.0
"""Rounds change by at most this much of what the probes do, in logarithms; more is chance."""


@dataclass(frozen=True)
class NoiseEstimate:
    """What so many runs of so many sessions of a stack say of the noise.

    Of fewer than ``FEWEST_SESSIONS`` only the share of slow ones is taken.
    """

    prior: NoisePrior
    runs: int
    sessions: int

    @property
    def document(self) -> LearnedNoise | None:
        """How far runs and sessions lie apart as a part of a verdict; None if that is assumed."""
        if self.sessions < FEWEST_SESSIONS:
            return None
        return LearnedNoise(runs=self.runs, sessions=self.sessions, run=self.prior.run, session=self.prior.session)


_Code = tuple[bytes, str]
"""The stack with its components and settings, and what the stacks' file calls it."""


class NoiseHistory:
    """The stored runs of an installation, as far as they say what noise is usual.

    ``read`` gives all runs that were ever measured, when first asked; a ``UserError`` means none. Those of the
    baselines count, too.
    """

    def __init__(self, read: Callable[[], Iterable[Run]], baselines: BaselineStore | None = None) -> None:
        self._read = read
        self._baselines = baselines
        self._devices: set[str] = set()  # whose baselines were read
        self._known: dict[Comparability, dict[_Code, dict[str, Run]]] = {}
        self._estimates: dict[tuple[Comparability, bytes, frozenset[str], bool], NoiseEstimate | None] = {}

    @classmethod
    def of(cls, results: Path, baselines: BaselineStore) -> NoiseHistory:
        """The history of a results directory and of the baselines."""
        return cls(lambda: read_history(results).runs, baselines)

    def estimate(
        self, key: Comparability, stack: Stack, without: Iterable[str] = (), *, probes: bool
    ) -> NoiseEstimate | None:
        """The noise of what may be compared; None if no sessions are known.

        It is estimated from runs of one and the same stack: the one with the most sessions, and that in question, where
        it has as many; how many sessions are slow from all. Sessions that are compared do not count (``without``).
        """
        key, own, apart = msgspec.structs.replace(key, stack_label=""), encode_line(stack), frozenset(without)
        asked = key, own, apart, probes
        if asked not in self._estimates:
            codes = sorted(self._codes(key).items(), key=lambda item: (item[0][0] != own, item[0]))
            stacks = [in_order(known.values()) for _, known in codes]
            best = max(stacks, key=lambda runs: len({run.session_id for run in runs} - apart), default=[])
            stacks = [runs for runs in stacks if runs is not best]
            others = [[sample_of(run) for run in runs if run.session_id not in apart] for runs in stacks]
            samples = [sample_of(run) for run in best]
            self._estimates[asked] = estimated_from(samples, apart, probes=probes, others=others)
        return self._estimates[asked]

    def _codes(self, key: Comparability) -> dict[_Code, dict[str, Run]]:
        """The runs by what stack they are of; those of the results and of the baselines count once."""
        if not self._devices:
            with contextlib.suppress(UserError):
                self._add(list(self._read()))
        if key.device not in self._devices:
            self._devices.add(key.device)
            self._add(list(self._baseline_runs(key.device)))
        return self._known.get(key, {})

    def _add(self, runs: list[Run]) -> None:
        lines: dict[int, bytes] = {}  # stacks are shared between runs of a history
        for run in runs:
            if run.usable:
                if id(run.stack) not in lines:
                    lines[id(run.stack)] = encode_line(run.stack)
                codes = self._known.setdefault(msgspec.structs.replace(run.comparability, stack_label=""), {})
                codes.setdefault((lines[id(run.stack)], run.stack_label), {}).setdefault(run.run_id, run)

    def _baseline_runs(self, device: str) -> Iterable[Run]:
        if self._baselines is None:
            return
        try:
            places = places_of_device(self._baselines.directory, device)
        except UserError:
            return
        for place in places:
            try:
                baseline = self._baselines.load(place)
            except UserError:  # it is reported where the file is needed
                continue
            for entry in baseline.cases:
                yield from entry.runs


def estimated_from(
    samples: Sequence[RunSample],
    without: Collection[str] = (),
    *,
    probes: bool,
    others: Iterable[Sequence[RunSample]] = (),
) -> NoiseEstimate | None:
    """Estimate the noise from runs of the same code, and how many sessions are slow from others, too.

    None if no sessions are left. Where what is compared has reference probes, what they explain of the history is no
    noise: the comparison corrects for it, too.
    """
    counted = [sample for sample in samples if sample.session not in without]
    if not counted:
        return None
    newest = list(by_session(counted).values())[-NEWEST_SESSIONS:]
    those = [sample for session in newest for sample in session]
    known = [counted, *others]
    if len(newest) < FEWEST_SESSIONS:
        return NoiseEstimate(with_slow_share(NoisePrior(), known), len(those), len(newest))
    noise = with_slow_share(learn_noise_prior(those), known)
    if probes and (corrected := _corrected(those)) is not None:
        left = learn_noise_prior(corrected)
        noise = replace(noise, run=left.run, session=left.session)
    return NoiseEstimate(noise, len(those), len(newest))


def _corrected(samples: Sequence[RunSample]) -> list[RunSample] | None:
    """The runs without what their probes explain, by least squares; None where some have no probes."""
    known = all_known([sample.probe_level for sample in samples])
    if known is None:
        return None
    probes = known - known.mean()
    values = levels(samples)
    variance = float(probes @ probes)
    slope = float(np.clip(probes @ (values - values.mean()) / variance, 0.0, _MOST)) if variance > 0 else 0.0
    return [
        replace(sample, rounds=sample.rounds * np.exp(-slope * probe))
        for sample, probe in zip(samples, probes, strict=True)
    ]
