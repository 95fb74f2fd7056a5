"""What a case is judged by: its runs, and the sides that they are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gaudi_perf.judging.noise import NoiseEstimate, NoiseHistory
from gaudi_perf.judging.samples import sample_of
from gaudi_perf.statistics.outputs import FROM_BFLOAT16
from gaudi_perf.statistics.sample import RunSample, Sides
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.resolution import resolve
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
    """A side that runs are compared with.

    Attributes:
        label: for instance ``gaudi2/synapse-1.24.0``.
        runs: by time; side by side, the first belongs to the candidate's first, and so on.
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
    """Everything that the verdicts of a case come from: its runs, by time, and the sides that they are compared with.

    Attributes:
        invalid: why the measurement must not be judged; empty if it may.
        never_steady: why runs never became steady; empty if all did.
        no_reference: why there is nothing to hold them against, and ``advice`` what to do then.
        notes: what else is to be known, in sentences.
    """

    runs: tuple[Run, ...]
    references: tuple[Reference, ...] = ()
    invalid: tuple[str, ...] = ()
    never_steady: tuple[str, ...] = ()
    no_reference: str = ""
    advice: Advice = Advice.NONE
    notes: tuple[str, ...] = ()


def evidence_against_baselines(
    runs: Sequence[Run], store: BaselineStore, against: str, history: NoiseHistory | None = None
) -> CaseEvidence:
    """Hold the runs of a case against the stored baselines that apply, or the one that is named.

    The history teaches the usual noise; neither the candidate's nor the baseline's own sessions do.

    Raises:
        UserError: a baseline that is needed is malformed, or ``against`` names none.
    """
    ours = tuple(runs)
    invalid = _problems(runs)
    if invalid:
        return CaseEvidence(ours, invalid=invalid)
    resolution = resolve(store, runs[-1], against)
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
    """Hold the runs of a case against those of another stack, both by time, measured in pairs in the same session."""
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


def samples_of(metric: Metric, candidate: Sequence[Run], reference: Reference) -> tuple[Sides, str]:
    """The runs of both sides as numbers of a metric, and why none can be compared in it although they have it.

    Runs without it, or not comparable in it, stay out. What earlier cases leave behind in a worker group (caches,
    graphs, the process's heap) counts into the peak, so peak memory is comparable only between runs before which their
    worker groups had measured the same cases.
    """
    before = _shared_before(candidate, reference.runs) if metric == "memory" else None
    if metric == "memory" and before is None:
        return Sides([], []), (
            f"{TITLES['memory']} is not judged: other cases, or unknown ones, ran before in the worker groups of the "
            "baseline, and what they leave in memory counts"
        )

    def sample(run: Run) -> RunSample | None:
        comparable = before is None or run.measurement.earlier_cases == before
        return sample_of(run, metric) if comparable and run.values(metric) else None

    ours, theirs = [sample(run) for run in candidate], [sample(run) for run in reference.runs]
    if not reference.side_by_side:
        return Sides([one for one in ours if one is not None], [one for one in theirs if one is not None]), ""
    sides = Sides([], [])
    for one, other in zip(ours, theirs, strict=False):
        if one is None or other is None:
            continue
        if metric == LATENCY and reference.rounds_in_turns:
            # The rounds that have a neighbour: a budget may end one run of a pair before the other.
            count = min(one.rounds.size, other.rounds.size)
            one, other = (replace(run, rounds=run.rounds[:count], probes=None) for run in (one, other))
        sides.candidate.append(one)
        sides.baseline.append(other)
    return sides, ""


def _shared_before(ours: Sequence[Run], theirs: Sequence[Run]) -> list[str] | None:
    """The earlier cases that most of their runs share with one of ours."""
    mine, others = (
        [tuple(run.measurement.earlier_cases) for run in side if run.measurement.earlier_cases is not None]
        for side in (ours, theirs)
    )
    return next((list(order) for order, _ in Counter(others).most_common() if order in mine), None)


def _usual(history: NoiseHistory, runs: Sequence[Run], stored: Sequence[Run]) -> NoiseEstimate | None:
    compared = {run.session_id for run in (*runs, *stored)}
    probes = bool(stored) and all(run.measurement.probes_s is not None for run in (*runs, *stored))
    return history.estimate(runs[-1].comparability, runs[-1].stack, compared, probes=probes)


def _problems(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(problem for run in runs for problem in run.problems))


def _rounding(runs: Sequence[Run]) -> tuple[str, ...]:
    notes = [note for run in runs for note in run.measurement.notes]
    distances = [note for note in notes if note.startswith(FROM_BFLOAT16)]
    return (*distances[-1:], *((_BY_ROUNDING,) if len(notes) > len(distances) else ()))


def _never_steady(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(run.measurement.warm_up.reason for run in runs if not run.steady)
