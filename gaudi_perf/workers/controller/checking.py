"""Checks what was generated: every configuration of a model must say the same, as far as its arithmetic allows.

After the rounds of a run its worker generates once more, led along their tokens. The logits of every step are compared
with those of one plain pass, and of the session's first configuration of the model. docs/outputs.md has the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from gaudi_perf import protocol
from gaudi_perf.statistics.outputs import (
    FROM_BFLOAT16,
    WRONG,
    Agreement,
    compare_tokens,
    compare_traces,
    fp8_distance,
    judge_fp8,
)
from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.outputs import TokenTrace
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
        self._references: dict[tuple[object, ...], tuple[str, TokenTrace]] = {}  # a case, and its trace

    def check(self, group: WorkerGroup, case: Case, token_ids: list[int]) -> Checked:
        """Check the tokens that the prepared variant of a group has generated."""
        done = _ask(group, token_ids, plain=False)
        if done.problem:
            return Checked(problems=[f"{WRONG}: {done.problem}"])
        if done.trace is None:
            return Checked()
        plain = _ask(group, token_ids, plain=True)
        if plain.problem or plain.trace is None:
            return Checked(problems=[f"{WRONG}: in one pass over the same tokens, {plain.problem or 'nothing'}"])
        found, dtype = Checked(replace(done.trace, sample=[])), case.workload.dtype
        built = group.spec.built
        again = [ids[0] for ids in done.trace.likeliest]  # what the traced generation would have taken
        found.add("its own rounds", compare_tokens(done.trace, again, token_ids, dtype, built))
        found.add("one pass over the same tokens", compare_traces(done.trace, plain.trace, dtype, built))
        self._check_against_reference(group, case, done.trace, built, found)
        _check_fp8(group, found)
        return found

    def _check_against_reference(
        self, group: WorkerGroup, case: Case, trace: TokenTrace, built: Architecture, found: Checked
    ) -> None:
        key = (case.configuration.model, case.scale, case.weights, case.architecture, case.workload)
        if key not in self._references:
            if not found.problems:
                self._references[key] = case.id, trace
            return
        case_id, reference = self._references[key]
        done = protocol.Traced(trace=trace)
        if trace.token_ids != reference.token_ids:
            done = _ask(group, reference.token_ids, plain=False)
        if done.trace is None:
            return found.add(case_id, Agreement("wrong", done.problem or "no logits along its tokens"))
        agreement = compare_traces(done.trace, reference, case.workload.dtype, built)
        if not found.problems and agreement.kind == "wrong" and case_id != case.id:
            agreement = Agreement("wrong", f"{agreement.sentence}: one of the two is wrong")
            found.contradicts.append(case_id)
        found.add(case_id, agreement)


def _check_fp8(group: WorkerGroup, found: Checked) -> None:
    """Compare a model in FP8 with what it gave before."""
    wide = group.loaded.unquantized
    if wide is None:
        return
    request = protocol.Trace(token_ids=wide.trace.token_ids, plain=True, prompt_ids=wide.prompt_ids)
    done = group.ask(request, protocol.Traced, phase="check of the outputs")
    if done.trace is None:
        return found.add("the model in bfloat16", Agreement("wrong", done.problem or "no logits"))
    agreement = judge_fp8(fp8_distance(done.trace, wide.trace), wide.layer, wide.error)
    if agreement.kind == "wrong":
        return found.add("the model in bfloat16", agreement)
    found.notes.append(f"{FROM_BFLOAT16}{agreement.sentence}")


def _ask(group: WorkerGroup, token_ids: list[int], plain: bool) -> protocol.Traced:
    return group.ask(protocol.Trace(token_ids=token_ids, plain=plain), protocol.Traced, phase="check of the outputs")
