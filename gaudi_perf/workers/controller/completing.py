"""Completes the prompts of a dataset in batches: what the article's script does, resumable and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from msgspec.structs import replace

from gaudi_perf import protocol
from gaudi_perf.accelerators.host import HostWatch
from gaudi_perf.statistics.warmup import steady_start
from gaudi_perf.stores.completions import CompletionsFile
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.dataset import Batch, CompletionHeader, Dataset
from gaudi_perf.vocabulary.run import Measurement, Run, WarmUp, level_of
from gaudi_perf.vocabulary.workload import OF_DATASET
from gaudi_perf.workers.controller.group import WorkerGroup
from gaudi_perf.workers.controller.measuring import Measurer, utc_now, warm_up

_READ_AHEAD = 512
"""Prompts that are asked for at once."""
_WARM_UP_LIMIT = 20
_WARM_UP_SECONDS = 10.0
_BAR_WIDTH = 20

Progress = Callable[[int, int], None]
"""Takes how many batches are done, and how many there are."""


class Completed(NamedTuple):
    """How many batches an earlier run had completed; those of this ``run`` are its rounds, None if none were left."""

    header: CompletionHeader
    before: int
    run: Run | None


def dataset_case(case: Case, dataset: Dataset) -> Case:
    """The case whose prompt is a dataset: what its runs and baselines are filed under."""
    words = [dataset.label, dataset.configuration, dataset.split, dataset.column]
    prompt = f"{OF_DATASET}{' '.join(word for word in words if word)}"[:200]
    return replace(case, workload=replace(case.workload, prompt=prompt))


def complete(
    measurer: Measurer,
    case: Case,
    dataset: Dataset,
    file: CompletionsFile,
    *,
    limit: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Completed:
    """Complete what is left of a dataset, or of its first ``limit`` prompts, in batches of the case's shape.

    Raises GroupFailure if the worker group failed; what was completed until then is kept. Raises UserError if the
    dataset cannot be read, or the file not be written.
    """
    started_at, watch = utc_now(), HostWatch.begin()
    with measurer.group_of(case) as group:
        opened = open_dataset(group, dataset, case.workload.prompt_tokens)
        header = CompletionHeader(
            dataset=dataset.label,
            column=opened.column,
            split=opened.split,
            rows=opened.rows if limit is None else min(limit, opened.rows),
            content=opened.content,
            configuration=case.configuration,
            device=group.loaded.device.name,
            scale=case.scale,
            weights=case.weights,
            dtype=case.workload.dtype,
            tokens=opened.tokens,
            prompt_tokens=case.workload.prompt_tokens,
            new_tokens=case.workload.new_tokens,
            batch_size=case.workload.batch_size,
        )
        before = file.open(header)
        progress(before, header.batches)
        if before == header.batches:
            return Completed(header, before, None)
        group.prepare(case)
        # The next batch again and again; nothing of that is kept.
        prompts = read_prompts(group, before * header.batch_size, header.batch_size).token_ids

        def more(before: list[float]) -> list[float]:
            return [_complete(group, prompts).latency_s]

        warm = warm_up([], more, limit=_WARM_UP_LIMIT, minimum=3, budget_s=_WARM_UP_SECONDS, unit="batches")
        latencies: list[float] = []
        for batch in _batches(group, header, before):
            file.append(batch)
            latencies.append(batch.latency_s)
            progress(batch.batch, header.batches)
        measurement = Measurement(latencies_s=latencies, warm_up=settled(warm, latencies))
        return Completed(header, before, measurer.run_of(case, group, started_at, watch, measurement))


def open_dataset(group: WorkerGroup, dataset: Dataset, prompt_tokens: int) -> protocol.DatasetOpened:
    """Have a group read a dataset, whose prompts are cut to so many tokens."""
    request, deadline = protocol.OpenDataset(dataset=dataset, prompt_tokens=prompt_tokens), group.deadlines.load
    return group.ask(request, protocol.DatasetOpened, phase="reading the dataset", deadline=deadline)


def read_prompts(group: WorkerGroup, first: int, count: int) -> protocol.Prompts:
    """Prompts of the dataset that a group has read."""
    return group.ask(protocol.ReadPrompts(first=first, count=count), protocol.Prompts, phase="reading prompts")


def settled(warm_up: WarmUp, latencies: Sequence[float]) -> WarmUp:
    """A warm-up that was cut short is made up for by batches that are steady in the end.

    Batches of a large model take so long that few fit into a warm-up; the median of many does not hang on the first.
    """
    state = steady_start(latencies)
    if warm_up.steady or state.start is None:
        return warm_up
    return replace(warm_up, steady=True, reason=f"{warm_up.reason}, but in the end {state.reason}")


def _batches(group: WorkerGroup, header: CompletionHeader, before: int) -> Iterator[Batch]:
    size = header.batch_size
    ahead = max(1, _READ_AHEAD // size) * size
    between = " " if header.tokens == "stand-in" else ""  # a tokenizer's tokens bring their own spaces
    for first in range(before * size, header.rows, ahead):
        prompts = read_prompts(group, first, min(ahead, header.rows - first))
        for at in range(0, len(prompts.token_ids), size):
            done = _complete(group, prompts.token_ids[at : at + size])
            inputs = prompts.texts[at : at + size]
            yield Batch(
                batch=(first + at) // size + 1,
                first=first + at,
                latency_s=done.latency_s,
                inputs=inputs,
                outputs=[f"{text}{between}{more}" for text, more in zip(inputs, done.texts, strict=True)],
                token_ids=done.token_ids,
            )


def _complete(group: WorkerGroup, prompts: list[list[int]]) -> protocol.Completed:
    return group.ask(protocol.Complete(prompts=prompts), protocol.Completed, phase="completing")


def throughput(runs: Sequence[Run]) -> tuple[float, float]:
    """Prompts and new tokens a second of runs of a case, by the median batch of the median run."""
    workload = runs[0].case.workload
    prompts = workload.batch_size / level_of(runs)
    return prompts, prompts * workload.new_tokens


class TimeLeft:
    """Estimates the time left, ``7/21 batches, 0:01:10 left``, by the batches of this run, not of an earlier one.

    The first call has what was there before. The time before the first batch is that of the warm-up, so there is an
    estimate from the second on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: dict[int, float] = {}  # when what was there before was reported, and the first batch

    def __call__(self, done: int, total: int) -> str:
        """How many batches are done, and the time that the rest takes."""
        now = self._clock()
        if len(self._first) < 2:
            self._first.setdefault(done, now)
        since, begin = list(self._first.items())[-1]
        if done == since != total:
            return f"{done}/{total} batches, ?:??:?? left"
        left = round((now - begin) / max(done - since, 1) * (total - done))
        return f"{done}/{total} batches, {timedelta(seconds=left)} left"


def bar(done: int, total: int) -> str:
    """A bar of plain characters, for terminals of any encoding."""
    filled = _BAR_WIDTH * done // total if total else _BAR_WIDTH
    return f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}]"
