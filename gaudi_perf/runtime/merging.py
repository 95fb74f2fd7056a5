"""One reply of many: what the ranks of a group answered, told as the group's answer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gaudi_perf.runtime import protocol


def merged(replies: Sequence[protocol.AnyReply]) -> protocol.AnyReply:
    """The group's answer to a request, from the answers of its ranks in order.

    A round lasts as long as on its slowest rank; memory is that of the fullest. Everything else is rank 0's.
    """
    first = replies[0]
    if isinstance(first, protocol.RoundsDone):
        return _rounds([reply for reply in replies if isinstance(reply, protocol.RoundsDone)])
    if isinstance(first, protocol.TokenRoundsDone):
        all_of_them = [reply for reply in replies if isinstance(reply, protocol.TokenRoundsDone)]
        return protocol.TokenRoundsDone(
            first_token_s=[max(times) for times in zip(*(done.first_token_s for done in all_of_them), strict=True)],
            per_output_token_s=[
                max(times) for times in zip(*(done.per_output_token_s for done in all_of_them), strict=True)
            ],
        )
    return first


def _rounds(ranks: Sequence[protocol.RoundsDone]) -> protocol.RoundsDone:
    problems: list[str] = []
    for index, done in enumerate(ranks):
        for problem in done.problems:
            if not any(problem in told for told in problems):
                problems.append(f"rank {index}: {problem}")
    for index, done in enumerate(ranks):
        if done.token_ids != ranks[0].token_ids:
            problems.append(f"rank {index} gave other tokens than rank 0")
    peaks = [done.peak_memory_bytes for done in ranks if done.peak_memory_bytes is not None]
    return msgspec.structs.replace(
        ranks[0],
        latencies_s=[max(round_) for round_ in zip(*(done.latencies_s for done in ranks), strict=True)],
        rank_latencies_s=[done.latencies_s for done in ranks],
        probes_s=_slowest_probes(ranks),
        same_tokens=all(done.same_tokens for done in ranks),
        peak_memory_bytes=max(peaks, default=None),
        problems=problems,
    )


def _slowest_probes(ranks: Sequence[protocol.RoundsDone]) -> list[float] | None:
    probes = [done.probes_s for done in ranks if done.probes_s is not None]
    if len(probes) < len(ranks):
        return None
    return [max(round_) for round_ in zip(*probes, strict=True)]
