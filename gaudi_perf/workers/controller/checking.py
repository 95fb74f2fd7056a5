"""Checks outputs: all configurations of a model must generate the same tokens, as far as rounding allows.

After the rounds of a run its worker generates once more, with their tokens as input (teacher forcing). The logits of
every step are compared with those of one plain pass, and with those of the session's first configuration of the model.
docs/outputs.md has the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from gaudi_perf import protocol
from gaudi_perf.statistics import outputs
from gaudi_perf.statistics.outputs import WRONG, Agreement, compare_tokens, compare_traces
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.run import TokenTrace
from gaudi_perf.workers.controller.group import WorkerGroup


@dataclass
class Checked:
    """What a check came to: wrong outputs are ``problems``, differences by rounding ``notes``, in sentences.

    ``contradicts``: the case whose outputs differ by more than rounding. The trace, without samples, is None where the
    engine gives no logits.
    """

    trace: TokenTrace | None = None
    problems: list[str] = field(default_factory=list)
    contradicts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: str, agreement: Agreement) -> None:
        """Note what a comparison with something found."""
        if agreement.kind == "wrong":
            self.problems.append(f"{WRONG}: against {other}, {agreement.sentence}")
        elif agreement.kind == "rounding":
            self.notes.append(f"differs by rounding from {other}: {agreement.sentence}")


class OutputChecker:
    """Checks the runs of a session against each other."""

    def __init__(self) -> None:
        self._references: dict[tuple[object, ...], tuple[str, list[TokenTrace]]] = {}  # a case, and its traces

    def check(self, group: WorkerGroup, case: Case, rows: list[list[int]], prompts: int = 1) -> Checked:
        """Check the tokens of every row that the prepared variant of a group has generated.

        Rows take ``prompts`` in turn: the first of each prompt are led along their tokens, the others must have the
        same tokens, or part from them where rounding may.
        """
        first = rows[:prompts]
        done = _ask(group, first, plain=False)
        if done.problem:
            return Checked(problems=[f"{WRONG}: {done.problem}"])
        if not done.traces:
            return Checked()
        plain = _ask(group, first, plain=True)
        if plain.problem or not plain.traces:
            return Checked(problems=[f"{WRONG}: in one pass over the same tokens, {plain.problem or 'nothing'}"])
        found, dtype, built = Checked(replace(done.traces[0], sample=[])), case.workload.dtype, group.spec.built
        for row, (ours, theirs, tokens) in enumerate(zip(done.traces, plain.traces, first, strict=True)):
            again = [ids[0] for ids in ours.likeliest]  # what the traced generation would have taken
            where = _of_row(row, len(rows))
            found.add(f"its own rounds{where}", compare_tokens(ours, again, tokens, dtype, built))
            found.add(f"one pass over the same tokens{where}", compare_traces(ours, theirs, dtype, built))
        for row in range(prompts, len(rows)):
            of = row % prompts
            agreement = compare_tokens(done.traces[of], first[of], rows[row], dtype, built)
            found.add(f"row {of + 1}, whose prompt is the same{_of_row(row, len(rows))}", agreement)
        self._check_reference(group, case, done.traces, found)
        _check_fp8(group, found)
        return found

    def _check_reference(self, group: WorkerGroup, case: Case, traces: list[TokenTrace], found: Checked) -> None:
        key = (case.configuration.model, case.scale, case.weights, case.architecture, case.workload)
        if key not in self._references:
            if not found.problems:
                self._references[key] = case.id, traces
            return
        case_id, references = self._references[key]
        along = [reference.token_ids for reference in references]
        done = protocol.Traced(traces=traces)
        if [trace.token_ids for trace in traces] != along:
            done = _ask(group, along, plain=False)
        if not done.traces:
            return found.add(case_id, Agreement("wrong", done.problem or "no logits along its tokens"))
        for row, (trace, reference) in enumerate(zip(done.traces, references, strict=True)):
            agreement = compare_traces(trace, reference, case.workload.dtype, group.spec.built)
            if not found.problems and agreement.kind == "wrong" and case_id != case.id:
                agreement = Agreement("wrong", f"{agreement.sentence}: one of the two is wrong")
                found.contradicts.append(case_id)
            found.add(f"{case_id}{_of_row(row, case.workload.batch_size)}", agreement)


def _check_fp8(group: WorkerGroup, found: Checked) -> None:
    """Compare a model in FP8 with what it gave before."""
    wide = group.loaded.unquantized
    if wide is None:
        return
    request = protocol.Trace(token_ids=[wide.trace.token_ids], plain=True, prompts=[wide.prompt_ids])
    done = group.ask(request, protocol.Traced, phase="check of the outputs")
    if not done.traces:
        return found.add("the model in bfloat16", Agreement("wrong", done.problem or "no logits"))
    agreement = outputs.judge_fp8(outputs.fp8_distance(done.traces[0], wide.trace), wide.layer, wide.error)
    if agreement.kind == "wrong":
        return found.add("the model in bfloat16", agreement)
    found.notes.append(f"{outputs.FROM_BFLOAT16}{agreement.sentence}")


def _of_row(row: int, rows: int) -> str:
    return f" in row {row + 1}" if rows > 1 else ""


def _ask(group: WorkerGroup, rows: list[list[int]], plain: bool) -> protocol.Traced:
    return group.ask(protocol.Trace(token_ids=rows, plain=plain), protocol.Traced, phase="check of the outputs")
