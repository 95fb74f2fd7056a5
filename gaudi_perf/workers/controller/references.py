"""Holds completions of this machine against references: text that a page shows of the same weights.

Where they differ, the model is led along the reference, and says whether rounding explains that (docs/outputs.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from gaudi_perf import protocol
from gaudi_perf.statistics.outputs import Agreement, compare_reference, first_difference
from gaudi_perf.stores.completions import CompletionsFile, read_completions
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.dataset import Batch, Dataset
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller.completing import complete, open_dataset, read_prompts
from gaudi_perf.workers.controller.group import WorkerGroup
from gaudi_perf.workers.controller.measuring import Measurer

_AROUND = 30
"""Characters of a text that are shown around the place where it parts from another."""


class Reference(msgspec.Struct, frozen=True):
    """A prompt, and the prompt with its completion."""

    input: str
    output: str


def judge_references(
    measurer: Measurer, case: Case, references: Sequence[Reference], directory: Path
) -> list[Agreement]:
    """Complete the prompts of references in one batch, and judge each completion.

    Args:
        case: its batch has as many prompts as there are references.
        directory: a private one, for what is read and written.

    Raises:
        UserError: a reference does not go on where its input ends, or the weights have no tokenizer.
    """
    source, out = directory / "references.jsonl", directory / "completions.jsonl"
    lines = [{"prompt": one.input, "completion": _completion(number, one)} for number, one in enumerate(references, 1)]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with CompletionsFile(out) as file:
        complete(measurer, case, Dataset(source=str(source), column="prompt"), file)
    (batch,) = read_completions(out)[1]
    with measurer.group_of(case) as group:
        tokens = {}
        for column, most in (("prompt", case.workload.prompt_tokens), ("completion", case.workload.new_tokens)):
            open_dataset(measurer, group, Dataset(source=str(source), column=column), most)
            tokens[column] = read_prompts(group, 0, len(references)).token_ids
        return list(_judged(group, case, references, batch, tokens["prompt"], tokens["completion"]))


def _completion(number: int, reference: Reference) -> str:
    rest = reference.output.removeprefix(reference.input)
    if not reference.input or not rest or rest == reference.output:
        raise UserError(f"reference completion {number}: its output does not begin with its input, and go on")
    return rest


def _judged(
    group: WorkerGroup,
    case: Case,
    references: Sequence[Reference],
    batch: Batch,
    prompts: list[list[int]],
    completions: list[list[int]],
) -> Iterator[Agreement]:
    built = group.spec.built
    for index, reference in enumerate(references):
        if batch.outputs[index] == reference.output:
            yield Agreement("same")
            continue
        if batch.inputs[index] != reference.input:
            yield Agreement("wrong", f"the tokenizer makes {batch.inputs[index]!r} of its input {reference.input!r}")
            continue
        request = protocol.Trace(token_ids=completions[index], plain=True, prompt_ids=prompts[index])
        done = group.ask(request, protocol.Traced, phase="check of the outputs")
        if done.trace is None:
            yield Agreement("wrong", done.problem or "the engine gives no logits by which to judge it")
            continue
        found = compare_reference(done.trace, batch.token_ids[index], case.workload.dtype, built)
        ours, theirs = batch.outputs[index], reference.output
        at = first_difference(ours, theirs) or 0
        before, one, other = ours[max(0, at - _AROUND) : at], ours[at : at + _AROUND], theirs[at : at + _AROUND]
        parting = f"the texts part after {before!r}: {one!r} here, {other!r} in the reference"
        yield Agreement(found.kind, f"{found.sentence}; {parting}")
