"""Prepares an installation's history for its self-audit: runs of the same code on the same machine, by session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gaudi_perf.judging.noise import estimated_from
from gaudi_perf.judging.samples import sample_of
from gaudi_perf.statistics.audit import Audit, Design, audit
from gaudi_perf.statistics.noise import NoisePrior
from gaudi_perf.statistics.sample import RunSample, Sides
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.vocabulary.metrics import RUNS_FOR_BASELINES
from gaudi_perf.vocabulary.run import Comparability, Run, in_order


@dataclass(frozen=True)
class History:
    """The runs of one case on one stack and one kind of host, in order: nothing changed between them."""

    case_id: str
    device: str
    stack: str
    host: str
    samples: tuple[RunSample, ...] = field(repr=False)

    @property
    def sessions(self) -> int:
        """How many sessions they were measured in."""
        return len({sample.session for sample in self.samples})


def histories(runs: Iterable[Run]) -> tuple[list[History], int]:
    """Put runs together that are of the same case, stack (with all its components and settings) and host.

    The number is that of the runs that were left out: INVALID, or never steady.
    """
    groups: dict[tuple[Comparability, bytes], list[Run]] = {}
    left_out = 0
    for run in in_order(runs):
        if not run.usable:
            left_out += 1
        else:
            groups.setdefault((run.comparability, encode_line(run.stack)), []).append(run)
    found = [
        History(
            case_id=same[0].case.id,
            device=same[0].device.name,
            stack=same[0].stack_title,
            host=same[0].host.host_class,
            samples=tuple(sample_of(run) for run in same),
        )
        for same in groups.values()
    ]
    return sorted(found, key=lambda one: (one.device, one.stack, one.host, one.case_id)), left_out


def usual_design(
    samples: Sequence[RunSample], candidates: int | None, baselines: int | None, side_by_side: bool
) -> Design:
    """The comparison that this installation makes, as far as it is not asked for.

    As many candidates as a session usually has, and as many baselines as a refresh needs.
    """
    if candidates is None:
        sizes = sorted(Counter(sample.session for sample in samples).values())
        usual = sizes[len(sizes) // 2]
        candidates = min(usual, sum(size // 2 for size in sizes)) if side_by_side else usual
        if len(sizes) == 1:  # both sides must come from the only session
            candidates = max(1, min(usual // 2, RUNS_FOR_BASELINES))
    return Design(candidates=max(candidates, 1), baselines=baselines or RUNS_FOR_BASELINES, side_by_side=side_by_side)


@dataclass(frozen=True)
class Audited:
    """What the replays of a history came to.

    ``learned`` is the share of the comparisons whose noise was estimated from the history's other sessions, as the
    suite does; for the others, that of a quiet server was assumed.
    """

    audit: Audit
    learned: float


def audit_history(history: History, design: Design, tolerance: float, repeats: int) -> Audited | str:
    """Replay comparisons on a history; why it is too short, in a sentence, if it is."""
    taught: list[bool] = []

    def usual(sides: Sides) -> NoisePrior:
        compared = {sample.session for sample in (*sides.candidate, *sides.baseline)}
        probes = all(sample.probes is not None for sample in (*sides.candidate, *sides.baseline))
        learned = None if design.side_by_side else estimated_from(history.samples, compared, probes=probes)
        taught.append(learned is not None and learned.document is not None)
        return NoisePrior() if learned is None else learned.prior

    try:
        outcome = audit(history.samples, design, tolerance=tolerance, prior=usual, repeats=repeats)
    except ValueError as error:
        return str(error)
    return Audited(outcome, sum(taught) / len(taught))
