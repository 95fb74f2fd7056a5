"""Whether the tokens of runs are those that a baseline keeps, as far as rounding allows."""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_perf.statistics.outputs import WRONG, compare_tokens
from gaudi_perf.vocabulary.run import Run


def token_findings(runs: Sequence[Run], label: str, token_ids: Sequence[int]) -> tuple[list[str], list[str]]:
    """Hold the tokens of runs of one case against those of a baseline or of another stack; none if not known.
    Returns why the runs must not be judged, and what is to be noted; sentences, each once.
    """
    problems: dict[str, None] = {}
    notes: dict[str, None] = {}
    for run in runs:
        ours, trace, workload = run.measurement.token_ids, run.measurement.trace, run.case.workload
        if not token_ids or not ours or ours == list(token_ids):
            continue
        built = run.built
        if trace is None or built is None:
            why = "the engine reports no logits by which to judge that"
            notes[f"the tokens are not those of {label}, and {why}"] = None
            continue
        agreement = compare_tokens(trace, ours, token_ids, workload.dtype, built)
        if agreement.kind == "wrong":
            problems[f"{WRONG}: against the tokens of {label}, {agreement.sentence}"] = None
        else:
            notes[f"the tokens differ by rounding from those of {label}: {agreement.sentence}"] = None
    return list(problems), list(notes)


def contradicting_cases(runs: Sequence[Run], usable: Sequence[Run]) -> list[str]:
    """Ids of the cases whose outputs put those of a case (``usable``) in doubt, in their session and on their stack.

    A case is compared with the first one of its model. That first one is in doubt if any contradicts it; one that
    agrees with it is, too, unless those that agree are more than those that contradict.
    """
    of = {(run.session_id, run.stack_label, run.case.id) for run in usable}
    named = {
        run.case.id
        for run in runs
        for other in run.measurement.contradicts
        if (run.session_id, run.stack_label, other) in of
    }
    sharing = {sharing_reference(run) for run in usable}
    against: set[str] = set()
    agreeing: set[str] = set()
    for run in runs:
        if sharing_reference(run) in sharing:
            if run.measurement.contradicts:
                against.add(run.case.id)
            elif not any(problem.startswith(WRONG) for problem in run.measurement.problems):
                agreeing.add(run.case.id)
    return sorted(named | against) if len(against) >= len(agreeing) else sorted(named)


def sharing_reference(run: Run) -> tuple[object, ...]:
    """What runs have in common whose outputs are compared with the same one."""
    case = run.case
    made_of = case.configuration.model, case.scale, case.weights, case.architecture
    return run.session_id, run.stack_label, *made_of, case.workload
