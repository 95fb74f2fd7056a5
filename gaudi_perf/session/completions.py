"""Compares completions of real weights on this machine with published ones.

Where they differ, the model gets the published tokens as input, and its logits show whether rounding explains the
difference (docs/outputs.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from gaudi_perf import protocol
from gaudi_perf.reports.terminal import failure_text
from gaudi_perf.session.session import CannotRunError, PerfSession
from gaudi_perf.session.settings import DatasetSettings
from gaudi_perf.statistics.outputs import WRONG, Agreement, compare_reference, first_difference
from gaudi_perf.stores.completions import CompletionsFile, read_completions
from gaudi_perf.stores.files import read_bytes
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.dataset import Dataset
from gaudi_perf.vocabulary.documents import decode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller.completing import complete, open_dataset, read_prompts
from gaudi_perf.workers.controller.group import GroupFailure
from gaudi_perf.workers.controller.measuring import Measurer

_AROUND = 30
"""Characters of a text that are shown around the place where it parts from another."""


class Reference(msgspec.Struct, frozen=True):
    """A prompt, and the prompt with its completion."""

    input: str
    output: str


class References(msgspec.Struct, frozen=True):
    """A file of reference completions; what else it says is for people."""

    completions: list[Reference]


def wrong_completions(session: PerfSession, model: str, path: Path) -> list[str]:
    """Complete the prompts of a file of references in one batch; says of each that this machine contradicts, where.

    What differs by rounding only is noted in the session, whose options say where, and with which weights.
    Raises CannotRunError if the weights are made up, or this machine cannot run the model; UserError if the file cannot
    be read, or the worker failed.
    """
    if session.settings.weights.kind == "dummy":
        raise CannotRunError(
            f"needs the weights of {session.settings.catalogue.model(model).hub_id}: --weights hub, or --weights DIR"
        )
    try:
        references = decode(read_bytes(path), References, str(path)).completions
    except UserError as error:
        raise UserError(f"--reference-completions {error}") from None
    case = _case(session, model, len(references))
    if reason := session.why_not(case):
        raise CannotRunError(reason)
    try:
        with session.measurer() as measurer:
            agreements = list(_judged(measurer, case, references, session.directory()))
    except GroupFailure as failure:
        raise UserError(failure_text(case, failure.phase, failure.sentence, failure.log)) from None
    wrong = []
    for number, agreement in enumerate(agreements, 1):
        if agreement.kind == "rounding":
            session.notes.append(f"reference completion {number} differs by rounding: {agreement.sentence}")
        elif agreement.kind == "wrong":
            wrong.append(f"{WRONG}: against reference completion {number}, {agreement.sentence}")
    return wrong


def _case(session: PerfSession, model: str, batch_size: int) -> Case:
    """On as many of the asked device counts as there are devices for, with graphs where those complete batches."""
    settings, found = session.settings, session.found
    there = [count for count in settings.devices if found is not None and count <= found.count]
    devices = max(there, default=min(settings.devices))
    accelerator = settings.accelerator
    graphs = accelerator.batches_with_graphs and not accelerator.cannot_run(True, devices)
    configuration = Configuration(model=model, devices=devices, graphs=graphs, kv_cache=True)
    shape = {"prompt_tokens": DatasetSettings.prompt_tokens, "new_tokens": DatasetSettings.new_tokens}
    return settings.case(configuration, None, **shape, batch_size=batch_size)


def _judged(measurer: Measurer, case: Case, references: Sequence[Reference], private: Path) -> Iterator[Agreement]:
    source, out = private / "references.jsonl", private / "completions.jsonl"
    lines = [{"prompt": one.input, "completion": _completion(number, one)} for number, one in enumerate(references, 1)]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with CompletionsFile(out) as file:
        complete(measurer, case, Dataset(source=str(source), column="prompt"), file)
    (batch,) = read_completions(out)[1]
    with measurer.group_of(case) as group:
        tokens = {}
        for column, most in (("prompt", case.workload.prompt_tokens), ("completion", case.workload.new_tokens)):
            open_dataset(group, Dataset(source=str(source), column=column), most)
            tokens[column] = read_prompts(group, 0, len(references)).token_ids
        for index, reference in enumerate(references):
            ours, theirs = batch.outputs[index], reference.output
            if ours == theirs:
                yield Agreement("same")
                continue
            if batch.inputs[index] != reference.input:
                why = f"the tokenizer makes {batch.inputs[index]!r} of its input {reference.input!r}"
                yield Agreement("wrong", why)
                continue
            prompt, completion = tokens["prompt"][index], tokens["completion"][index]
            request = protocol.Trace(token_ids=[completion], plain=True, prompts=[prompt])
            done = group.ask(request, protocol.Traced, phase="check of the outputs")
            if not done.traces:
                yield Agreement("wrong", done.problem or "the engine gives no logits by which to judge it")
                continue
            found = compare_reference(done.traces[0], batch.token_ids[index], case.workload.dtype, group.spec.built)
            at = first_difference(ours, theirs) or 0
            before, one, other = ours[max(0, at - _AROUND) : at], ours[at : at + _AROUND], theirs[at : at + _AROUND]
            parting = f"the texts part after {before!r}: {one!r} here, {other!r} in the reference"
            yield Agreement(found.kind, f"{found.sentence}; {parting}")


def _completion(number: int, reference: Reference) -> str:
    rest = reference.output.removeprefix(reference.input)
    if not reference.input or not rest or rest == reference.output:
        raise UserError(f"reference completion {number}: its output does not begin with its input, and go on")
    return rest
