"""Whether the tokens of runs are those that a baseline keeps, as far as rounding allows."""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_perf.statistics.outputs import WRONG, compare_tokens
from gaudi_perf.vocabulary.measurement import Run
from gaudi_perf.vocabulary.models import model_named


def token_findings(runs: Sequence[Run], label: str, token_ids: Sequence[int]) -> tuple[list[str], list[str]]:
    """Hold the tokens of runs against those of a baseline or of another stack.

    Args:
        runs: of one case.
        label: what the others are called.
        token_ids: their tokens; empty if they are not known.

    Returns:
        Why the runs must not be judged, and what is to be noted; sentences, each once.
    """
    problems: dict[str, None] = {}
    notes: dict[str, None] = {}
    for run in runs:
        ours, trace, workload = run.measurement.token_ids, run.measurement.trace, run.case.workload
        if not token_ids or not ours or ours == list(token_ids):
            continue
        if trace is None:
            notes[f"the tokens are not those of {label}, and the engine tells no logits by which to judge that"] = None
            continue
        shape = model_named(run.case.configuration.model).shape_at(run.case.scale)
        agreement = compare_tokens(trace, ours, token_ids, workload.dtype, shape)
        if agreement.kind == "wrong":
            problems[f"{WRONG}: against the tokens of {label}, {agreement.sentence}"] = None
        else:
            notes[f"the tokens differ by rounding from those of {label}: {agreement.sentence}"] = None
    return list(problems), list(notes)
