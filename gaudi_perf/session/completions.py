"""Completions that a page shows of real weights, against those of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from gaudi_perf.reports.terminal import failure_text
from gaudi_perf.session.session import CannotRunError, PerfSession
from gaudi_perf.statistics.outputs import WRONG
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller.group import GroupFailure
from gaudi_perf.workers.controller.references import Reference, judge_references

PROMPT_TOKENS, NEW_TOKENS = 16, 50


class References(msgspec.Struct, frozen=True):
    """A file of reference completions; what else it says is for people."""

    completions: list[Reference]


def wrong_completions(session: PerfSession, model: str, path: Path) -> list[str]:
    """Complete the references' prompts in one batch; what differs by rounding only is noted in the session.

    Args:
        session: its options say where, and with which weights.
        model: the model whose completions they are.
        path: the file of references.

    Returns:
        For each reference that this machine contradicts, where it does.

    Raises:
        CannotRunError: the weights are made up, or this machine cannot run the model.
        UserError: the file cannot be read, or the worker failed.
    """
    if session.settings.weights.kind == "dummy":
        raise CannotRunError(
            f"needs the weights of {session.settings.model(model).hub_id}: --weights hub, or --weights DIR"
        )
    try:
        references = msgspec.json.decode(path.read_bytes(), type=References).completions
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"--reference-completions {path}: {error}") from None
    case = _case(session, model, references)
    reason = session.why_not(case)
    if reason:
        raise CannotRunError(reason)
    try:
        with session.measurer() as measurer:
            agreements = judge_references(measurer, case, references, session.directory())
    except GroupFailure as failure:
        raise UserError(failure_text(case, failure.phase, failure.sentence, failure.log)) from None
    wrong = []
    for number, agreement in enumerate(agreements, 1):
        if agreement.kind == "rounding":
            session.notes.append(f"reference completion {number} differs by rounding: {agreement.sentence}")
        elif agreement.kind == "wrong":
            wrong.append(f"{WRONG}: against reference completion {number}, {agreement.sentence}")
    return wrong


def _case(session: PerfSession, model: str, references: Sequence[Reference]) -> Case:
    """On as many of the asked device counts as there are devices for, with graphs where those complete batches."""
    settings, found = session.settings, session.found
    there = [count for count in settings.devices if found is not None and count <= found.count]
    devices = max(there, default=min(settings.devices))
    accelerator = settings.accelerator
    graphs = accelerator.batches_with_graphs and not accelerator.cannot_run(True, devices)
    return settings.case(
        Configuration(model=model, devices=devices, graphs=graphs, kv_cache=True),
        prompt_tokens=PROMPT_TOKENS,
        new_tokens=NEW_TOKENS,
        batch_size=len(references),
    )
