"""Completing a dataset in a session: its batches are the rounds of runs, which are judged like others."""

from __future__ import annotations

from pathlib import Path

from gaudi_perf.session.session import PerfSession
from gaudi_perf.session.settings import DatasetSettings
from gaudi_perf.stores.completions import CompletionsFile, write_layout
from gaudi_perf.stores.prompt_files import check_file, is_local, require_library
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.workers.controller import completing
from gaudi_perf.workers.controller.completing import Progress


def complete_dataset(
    session: PerfSession, case: Case, asked: DatasetSettings, path: Path, progress: Progress | None = None
) -> list[Run]:
    """Complete a dataset as often as runs are asked for; returns the runs, none if all batches were there already.

    The completions of the first run go to ``path``; those that are there are not made again. The session gets the runs,
    and notes of what was completed; without a ``progress`` it shows a bar.
    Raises CannotRunError if this machine cannot run it; UserError if the dataset cannot be read, a run failed, or
    something could not be stored.
    """
    if session.settings.baseline is not None:
        raise UserError("a dataset is compared with stored baselines: leave out --candidate-stack and --baseline-stack")
    if not asked.dataset.source:
        raise UserError("the dataset's name is empty: name a file, or a dataset of the hub")
    option = f"--dataset {asked.dataset.source}"
    if is_local(asked.dataset.source):
        check_file(Path(asked.dataset.source), option)
        if asked.dataset.configuration:
            words = f"{option}: a local file has no configuration {asked.dataset.configuration!r}"
            raise UserError(f"{words}: leave it out, or name a dataset of the hub")
    else:
        require_library(option)
    case = completing.dataset_case(case, asked.dataset)
    with session.reported(case, kept=path):
        session.require_runnable(case)
        for index in range(session.settings.runs):
            target = path if index == 0 else session.directory() / "again.jsonl"
            with session.measurer() as measurer, CompletionsFile(target) as file:
                shown = progress or _bar(session, case)
                done = completing.complete(measurer, case, asked.dataset, file, limit=asked.limit, progress=shown)
            if index == 0:
                session.notes.append(_completed(case, done, path, write_layout(path)))
            if done.run is not None:
                session.add(done.run)
    runs = session.runs.get(case, [])
    if runs:
        prompts, tokens = completing.throughput(runs)
        session.notes.append(f"{case.id}: {prompts:.4g} prompts/s, {tokens:.4g} new tokens/s (median batch)")
    return runs


def _bar(session: PerfSession, case: Case) -> Progress:
    left = completing.TimeLeft()
    return lambda done, total: session.doing(f"{case.id}: {completing.bar(done, total)} {left(done, total)}")


def _completed(case: Case, done: completing.Completed, path: Path, text: Path) -> str:
    header = done.header
    size = f"{counted(header.rows, 'prompt')} in {counted(header.batches, 'batch', 'batches')}"
    words = f"{case.id}: {header.dataset}: {size}, in {path} and {text.name}"
    if done.before:
        words += f"; {done.before} of {header.batches} batches were there already"
    if header.tokens == "stand-in":
        words += "; dummy weights have no tokenizer: ids made of the words stand for tokens, completions are ids"
    return words
