"""Completes the prompts of a dataset in batches: what the article's script does, resumable and timed."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from gaudi_perf import protocol
from gaudi_perf.accelerators.host import HostWatch
from gaudi_perf.statistics.warmup import steady_start
from gaudi_perf.stores.completions import CompletionsFile
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.dataset import Batch, CompletionHeader, Dataset
from gaudi_perf.vocabulary.run import Measurement, Run, WarmUp
from gaudi_perf.workers.controller.group import WorkerGroup
from gaudi_perf.workers.controller.measuring import Measurer, utc_now

_READ_AHEAD = 512
"""Prompts that are asked for at once."""
_WARM_UP_LIMIT = 20
_WARM_UP_SECONDS = 10.0

Progress = Callable[[int, int], None]
"""Takes how many batches are done, and how many there are."""


@dataclass(frozen=True)
class Completed:
    """What completing a dataset came to.

    Attributes:
        header: what all completions have in common.
        before: batches that an earlier run had completed.
        run: the batches of this one as a run, whose rounds they are; None if there was nothing left to do.
        seconds: the time of this one's batches, from the first request to the last line written.
        prompts: how many prompts it completed.
    """

    header: CompletionHeader
    before: int
    run: Run | None
    seconds: float
    prompts: int

    @property
    def prompts_per_s(self) -> float:
        """Throughput."""
        return self.prompts / self.seconds if self.seconds else 0.0

    @property
    def tokens_per_s(self) -> float:
        """New tokens a second."""
        return self.prompts_per_s * self.header.new_tokens


def dataset_case(case: Case, dataset: Dataset) -> Case:
    """The case whose prompt is a dataset: what its runs and baselines are filed under."""
    words = [dataset.label, dataset.configuration, dataset.split, dataset.column]
    prompt = f"dataset {' '.join(word for word in words if word)}"[:200]
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
    """Complete what is left of a dataset.

    Args:
        measurer: starts the worker group, and ends it.
        case: the configuration, and the workload with the shape of a batch.
        dataset: the prompts.
        file: where completions are kept, and read where to go on.
        limit: complete this many prompts only.
        progress: called after each batch.

    Raises:
        GroupFailure: the worker group failed; what was completed until then is kept.
        UserError: the dataset cannot be read, or the file not be written.
    """
    started_at = utc_now()
    watch = HostWatch.begin()
    with measurer.group_of(case) as group:
        opened = group.ask(
            protocol.OpenDataset(
                dataset=dataset, prompt_tokens=case.workload.prompt_tokens, cache=str(group.directory / "dataset")
            ),
            protocol.DatasetOpened,
            phase="reading the dataset",
            deadline=measurer.deadlines.load,
        )
        header = _header(case, dataset, opened, group, limit)
        before = file.open(header)
        progress(before, header.batches)
        if before == header.batches:
            return Completed(header, before, None, 0.0, 0)
        group.prepare(case)
        warm_up = _warm_up(group, header, before)
        latencies: list[float] = []
        begin = time.monotonic()
        for batch in _batches(group, header, before):
            file.append(batch)
            latencies.append(batch.latency_s)
            progress(batch.batch, header.batches)
        seconds = time.monotonic() - begin
        assert group.loaded is not None
        run = Run(
            run_id=f"{measurer.session_id}-{uuid.uuid4().hex[:8]}",
            session_id=measurer.session_id,
            started_at=started_at,
            case=dataset_case(case, dataset),
            device=group.loaded.device,
            stack=group.loaded.stack,
            host=watch.end(),
            measurement=Measurement(latencies_s=latencies, warm_up=settled(warm_up, latencies)),
        )
        return Completed(header, before, run, seconds, header.rows - before * header.batch_size)


def _header(
    case: Case, dataset: Dataset, opened: protocol.DatasetOpened, group: WorkerGroup, limit: int | None
) -> CompletionHeader:
    assert group.loaded is not None
    return CompletionHeader(
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


def _warm_up(group: WorkerGroup, header: CompletionHeader, before: int) -> WarmUp:
    """Complete the next batch until its latency is steady; nothing of that is kept."""
    prompts = _prompts(group, before * header.batch_size, header.batch_size).token_ids
    latencies: list[float] = []
    begin = time.monotonic()
    while True:
        latencies.append(_complete(group, prompts).latency_s)
        state = steady_start(latencies)
        if state.start is not None:
            return WarmUp(latencies_s=latencies, steady=True, reason=state.reason)
        if len(latencies) >= _WARM_UP_LIMIT or (len(latencies) >= 3 and time.monotonic() - begin > _WARM_UP_SECONDS):
            return WarmUp(latencies_s=latencies, steady=False, reason=f"not steady after {len(latencies)} batches")


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
    for first in range(before * size, header.rows, ahead):
        prompts = _prompts(group, first, min(ahead, header.rows - first))
        for at in range(0, len(prompts.token_ids), size):
            done = _complete(group, prompts.token_ids[at : at + size])
            inputs = prompts.texts[at : at + size]
            yield Batch(
                batch=(first + at) // size + 1,
                first=first + at,
                latency_s=done.latency_s,
                inputs=inputs,
                outputs=[f"{text}{_between(header)}{more}" for text, more in zip(inputs, done.texts, strict=True)],
                token_ids=done.token_ids,
            )


def _between(header: CompletionHeader) -> str:
    return " " if header.tokens == "stand-in" else ""  # a tokenizer's tokens bring their own spaces


def _prompts(group: WorkerGroup, first: int, count: int) -> protocol.Prompts:
    return group.ask(protocol.ReadPrompts(first=first, count=count), protocol.Prompts, phase="reading prompts")


def _complete(group: WorkerGroup, prompts: list[list[int]]) -> protocol.Completed:
    return group.ask(protocol.Complete(prompts=prompts), protocol.Completed, phase="completing")


def throughput(runs: Sequence[Run]) -> tuple[float, float]:
    """Prompts and new tokens a second of runs of a case, by the median batch of the median run."""
    workload = runs[0].case.workload
    batch = statistics.median(statistics.median(run.measurement.latencies_s) for run in runs)
    prompts = workload.batch_size / batch
    return prompts, prompts * workload.new_tokens
