"""One reply of many: what the ranks of a group answered, as the group's answer. The slowest rank's time counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from gaudi_perf import protocol

_RANKS_APART = 0.01
"""How far logits of two ranks may be apart, as a share of their spread. They compute the same numbers from the same
sums, so that nothing but the order within a kernel can make them differ."""


def merged(replies: Sequence[protocol.AnyReply]) -> protocol.AnyReply:
    """The group's answer to a request, from the answers of its ranks in order, which are of one kind.

    A round lasts as long as on its slowest rank; memory is that of the fullest. Everything else is rank 0's.
    """
    first, ranks = replies[0], cast(Any, replies)
    if isinstance(first, protocol.RoundsDone):
        return _rounds(ranks)
    if isinstance(first, protocol.TokenRoundsDone):
        return protocol.TokenRoundsDone(
            first_token_s=_slowest([done.first_token_s for done in ranks]),
            per_output_token_s=_slowest([done.per_output_token_s for done in ranks]),
        )
    if isinstance(first, protocol.PassesAloneDone):
        passes = [one for done in ranks for one in done.rank_passes_s]
        return protocol.PassesAloneDone(rank_passes_s=passes if len(passes) == len(ranks) else [])
    if isinstance(first, protocol.Traced):
        return _traced(ranks)
    if isinstance(first, protocol.Completed):
        return msgspec.structs.replace(first, latency_s=max(done.latency_s for done in ranks))
    return first


def _slowest(ranks: Iterable[Sequence[float]]) -> list[float]:
    """Of each round the longest time."""
    return [max(times) for times in zip(*ranks, strict=True)]


def _traced(ranks: Sequence[protocol.Traced]) -> protocol.Traced:
    """Rank 0's trace, if all ranks say the same: after the last all-reduce of a step they hold the same sums."""
    for index, done in enumerate(ranks):
        if done.problem:
            return protocol.Traced(problem=f"rank {index}: {done.problem}")
        if done.traces and len(done.traces) != len(ranks[0].traces):
            return protocol.Traced(problem=f"rank {index} has logits of another number of prompts than rank 0")
        for ours, theirs in zip(ranks[0].traces, done.traces, strict=False):  # a rank may have none
            for step, (mine, other) in enumerate(zip(ours.sample, theirs.sample, strict=True)):
                apart = max(abs(left - right) for left, right in zip(mine, other, strict=True))
                if apart > _RANKS_APART * ours.spread[step]:
                    where = f"at step {step + 1} the logits of rank {index}"
                    return protocol.Traced(problem=f"{where} are {apart:.3g} away from those of rank 0")
    return ranks[0]


def _rounds(ranks: Sequence[protocol.RoundsDone]) -> protocol.RoundsDone:
    problems: list[str] = []
    for index, done in enumerate(ranks):
        more = [problem for problem in done.problems if not any(problem in other for other in problems)]
        problems += [f"rank {index}: {problem}" for problem in more]
    others = [index for index, done in enumerate(ranks) if done.rows != ranks[0].rows]
    problems += [f"rank {index} gave other tokens than rank 0" for index in others]
    peaks = [done.peak_memory_bytes for done in ranks if done.peak_memory_bytes is not None]
    probes = [done.probes_s for done in ranks if done.probes_s is not None]
    return msgspec.structs.replace(
        ranks[0],
        latencies_s=_slowest([done.latencies_s for done in ranks]),
        rank_latencies_s=[done.latencies_s for done in ranks],
        probes_s=_slowest(probes) if len(probes) == len(ranks) else None,
        same_tokens=all(done.same_tokens for done in ranks),
        peak_memory_bytes=max(peaks, default=None),
        problems=problems,
    )
