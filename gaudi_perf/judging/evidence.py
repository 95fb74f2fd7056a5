"""What a case is judged by: its runs, and the sides that they are held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gaudi_perf.judging.noise import NoiseEstimate, NoiseHistory
from gaudi_perf.judging.samples import sample_of
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.tokens import token_findings
from gaudi_perf.vocabulary.metrics import LATENCY, TITLES, Metric
from gaudi_perf.vocabulary.run import Run, level_of
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import Advice, BaselineRole

_BY_ROUNDING = (
    "tokens differ by rounding from those of another configuration (docs/outputs.md; the runs say at which step)"
)


@dataclass(frozen=True)
class Reference:
    """A side that runs are held against.

    Attributes:
        role: why this one.
        label: what to call it, for instance ``gaudi2/synapse-1.24.0``.
        stack: its stack.
        runs: its runs, by time; side by side, the first belongs to the candidate's first, and so on.
        level_s: its latency, in seconds.
        published: whether ``level_s`` is a published number, and there are no runs.
        rounds_in_turns: side by side, whether the rounds of each pair were taken in turns, too.
        noise: what the history teaches of the noise of latencies; None where that of a quiet server is assumed.
    """

    role: BaselineRole
    label: str
    stack: Stack
    runs: tuple[Run, ...]
    level_s: float
    published: bool = False
    rounds_in_turns: bool = False
    noise: NoiseEstimate | None = None

    @property
    def side_by_side(self) -> bool:
        """Whether its runs were measured next to the candidate's."""
        return self.role == "side by side"


@dataclass(frozen=True)
class CaseEvidence:
    """Everything that the verdicts of a case come from.

    Attributes:
        runs: the candidate's, by time.
        references: what they are held against; empty means NO BASELINE.
        invalid: why the measurement must not be judged; empty if it may.
        never_steady: why runs never became steady; empty if all did.
        no_reference: why there is nothing to hold them against.
        advice: what to do then.
        notes: what else is to be known, in sentences.
    """

    runs: tuple[Run, ...]
    references: tuple[Reference, ...] = ()
    invalid: tuple[str, ...] = ()
    never_steady: tuple[str, ...] = ()
    no_reference: str = ""
    advice: Advice = Advice.NONE
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Samples:
    """The runs of both sides as numbers of one metric.

    Attributes:
        candidate: may be empty.
        baseline: may be empty.
        why_not: why they cannot be compared although both sides have the metric; empty if they can.
    """

    candidate: list[RunSample]
    baseline: list[RunSample]
    why_not: str = ""


def evidence_against_baselines(
    runs: Sequence[Run], store: BaselineStore, against: str, history: NoiseHistory | None = None
) -> CaseEvidence:
    """Hold the runs of a case against the stored baselines that apply.

    Args:
        runs: the candidate's.
        store: the baselines.
        against: the baseline that was named, or empty.
        history: teaches the usual noise. Neither the candidate's nor the baseline's own nights do.

    Raises:
        UserError: a baseline that is needed is malformed, or ``against`` names none.
    """
    ours = tuple(runs)
    invalid = _problems(runs)
    if invalid:
        return CaseEvidence(ours, invalid=invalid)
    resolution = store.resolve(runs[-1], against or None)
    found = [token_findings(runs, match.label, match.case.token_ids) for match in resolution.matches]
    wrong = tuple(problem for problems, _ in found for problem in problems)
    if wrong:
        return CaseEvidence(ours, invalid=wrong)
    references = tuple(
        Reference(
            role=match.role,
            label=match.label,
            stack=match.stack,
            runs=tuple(match.case.runs),
            level_s=match.case.level_s,
            published=match.case.published is not None,
            noise=None if history is None else _usual(history, runs, match.case.runs),
        )
        for match in resolution.matches
    )
    return CaseEvidence(
        ours,
        references,
        never_steady=_never_steady(runs),
        no_reference="" if references else resolution.reason,
        advice=Advice.NONE if references else Advice.STORE,
        notes=(*_rounding(runs), *(note for _, notes in found for note in notes)),
    )


def evidence_side_by_side(
    candidate: Sequence[Run], baseline: Sequence[Run], *, rounds_in_turns: bool = False
) -> CaseEvidence:
    """Hold the runs of a case against those of another stack, measured in pairs in the same session.

    Args:
        candidate: runs on the stack in question, by time.
        baseline: runs on the other, by time.
        rounds_in_turns: whether the rounds of each pair were taken in turns, too.
    """
    ours, theirs = tuple(candidate), tuple(baseline)
    invalid = tuple(
        f"stack {run.stack_label!r}: {problem}" for run in (*candidate, *baseline) for problem in _problems([run])
    )
    if invalid:
        return CaseEvidence(ours, invalid=tuple(dict.fromkeys(invalid)))
    mine, other = candidate[-1], baseline[-1]
    wrong, notes = token_findings(candidate, f"stack {other.stack_label!r}", other.measurement.token_ids)
    if wrong:
        return CaseEvidence(ours, invalid=tuple(wrong))
    if mine.device.name != other.device.name:
        reason = f"the candidate's device is {mine.device.name} and the baseline's is {other.device.name}"
        return CaseEvidence(ours, no_reference=reason, advice=Advice.SAME_DEVICE)
    reference = Reference(
        "side by side", other.stack_label, other.stack, theirs, level_of(theirs), rounds_in_turns=rounds_in_turns
    )
    never_steady = tuple(
        f"stack {run.stack_label!r}: {reason}" for run in (*candidate, *baseline) for reason in _never_steady([run])
    )
    return CaseEvidence(ours, (reference,), never_steady=never_steady, notes=(*_rounding(candidate), *notes))


def samples_of(metric: Metric, candidate: Sequence[Run], reference: Reference) -> Samples:
    """The runs of both sides as numbers of a metric; runs without it, or not comparable in it, stay out."""
    theirs: Sequence[Run] = reference.runs
    why_not = ""
    if metric == "memory":
        candidate, theirs, why_not = _same_before(candidate, theirs, reference.side_by_side)
    ours = [_sample(metric, run) for run in candidate]
    others = [_sample(metric, run) for run in theirs]
    if reference.side_by_side:
        pairs = [
            (one, other) for one, other in zip(ours, others, strict=False) if one is not None and other is not None
        ]
        if metric == LATENCY and reference.rounds_in_turns:
            pairs = [_of_equal_length(one, other) for one, other in pairs]
        return Samples([one for one, _ in pairs], [other for _, other in pairs], why_not)
    return Samples([one for one in ours if one is not None], [one for one in others if one is not None], why_not)


def _of_equal_length(one: RunSample, other: RunSample) -> tuple[RunSample, RunSample]:
    """The rounds that have a neighbour: a budget may end one run of a pair before the other."""
    count = min(one.rounds.size, other.rounds.size)
    return replace(one, rounds=one.rounds[:count], probes=None), replace(
        other, rounds=other.rounds[:count], probes=None
    )


def _sample(metric: Metric, run: Run) -> RunSample | None:
    return sample_of(run, metric) if run.values(metric) else None


def _same_before(ours: Sequence[Run], theirs: Sequence[Run], pairs: bool) -> tuple[Sequence[Run], Sequence[Run], str]:
    """The runs of either side before which their worker groups had measured the same cases.

    What earlier cases leave behind in a worker group (caches, graphs, the process's heap) counts into the peak, so
    peak memory is comparable only then.
    """
    before = [tuple(run.measurement.earlier_cases) for run in theirs if run.measurement.earlier_cases is not None]
    common = [order for order, _ in Counter(before).most_common()]
    mine = {tuple(run.measurement.earlier_cases) for run in ours if run.measurement.earlier_cases is not None}
    shared = next((order for order in common if order in mine), None)
    if shared is None:
        why = f"{TITLES['memory']} is not judged: other cases, or unknown ones, ran before in the worker groups"
        return (), (), f"{why} of the baseline, and what they leave in memory counts"
    if pairs:
        both = [
            (one, other)
            for one, other in zip(ours, theirs, strict=False)
            if one.measurement.earlier_cases == other.measurement.earlier_cases == list(shared)
        ]
        return [one for one, _ in both], [other for _, other in both], ""
    kept = [[run for run in side if run.measurement.earlier_cases == list(shared)] for side in (ours, theirs)]
    return kept[0], kept[1], ""


def _usual(history: NoiseHistory, runs: Sequence[Run], stored: Sequence[Run]) -> NoiseEstimate | None:
    compared = {run.session_id for run in (*runs, *stored)}
    probes = bool(stored) and all(run.measurement.probes_s is not None for run in (*runs, *stored))
    return history.estimate(runs[-1].comparability, runs[-1].stack, compared, probes=probes)


def _problems(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(problem for run in runs for problem in run.problems))


def _rounding(runs: Sequence[Run]) -> tuple[str, ...]:
    return (_BY_ROUNDING,) if any(run.measurement.notes for run in runs) else ()


def _never_steady(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(run.measurement.warm_up.reason for run in runs if not run.steady)
