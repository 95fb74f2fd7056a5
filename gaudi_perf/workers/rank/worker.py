"""The worker: holds one model, and generates when asked. Started as ``python -m gaudi_perf.workers.rank.worker``.

In a process of its own a crash, a hang or an out-of-memory kill of an accelerator is not the end of pytest.
"""

from __future__ import annotations

import argparse
import gc
import io
import itertools
import os
import socket
import time
import traceback
from collections.abc import Callable

import msgspec

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.accelerators.base import Engine
from gaudi_perf.generation.dataset import PromptSource
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.vocabulary.errors import NotNumbersError, UserError
from gaudi_perf.vocabulary.workload import PROMPT, PROMPT_TOKENS, fixed_counts
from gaudi_perf.workers.rank.parent_death import die_with_connection, die_with_parent
from gaudi_perf.workers.rank.probes import HostProbe

Send = Callable[[protocol.AnyReply], None]
Fetch = Callable[[protocol.GroupSpec, Callable[[str], None]], protocol.GroupSpec]


class Worker:
    """Answers requests with the engine of its group, by default a new one of the accelerator.

    ``align`` is called before each timed generation; where there are several ranks, it waits for all. ``fetch`` gets
    the hub's files before a model is loaded, and returns the group with their directory; else whatever reads them does.
    """

    def __init__(
        self,
        send: Send,
        align: Callable[[], None] = lambda: None,
        engine: Engine | None = None,
        fetch: Fetch = lambda group, progress: group,
    ) -> None:
        self._send = send
        self._align = align
        self._prepared_engine = engine
        self._fetch = fetch
        self.engine: Engine | None = None
        self.prompts: list[list[int]] = []
        self._prompt_taken: tuple[object, ...] = ()
        self._tokenization_s: float | None = None
        self._group: protocol.GroupSpec | None = None
        self._prompts: PromptSource | None = None
        self._probe = HostProbe()

    def answer(self, request: protocol.AnyRequest) -> protocol.AnyReply:
        """The final reply to a request; faults become ``Failed``."""
        try:
            return self._answer(request)
        except UserError as error:
            return protocol.Failed(message=str(error), mistake=True)
        except Exception as error:  # any fault of an engine is reported, not raised
            traceback.print_exc()  # into the worker's log
            first_line = (str(error).strip().splitlines() or [""])[0]
            return protocol.Failed(message=f"{type(error).__name__}: {first_line}")

    def close(self) -> None:
        """Before ranks part: have the engine let go of their group."""
        if self.engine is not None:
            self.engine.close()

    def _answer(self, request: protocol.AnyRequest) -> protocol.AnyReply:
        if isinstance(request, protocol.Ping):
            return protocol.Pong()
        if isinstance(request, protocol.Load):
            return self._load(request.group)
        engine = self.engine
        if engine is None:
            return protocol.Failed(message="nothing is loaded yet")
        match request:
            case protocol.Prepare():
                gc.unfreeze()  # what belonged to the variant before may go
                engine.prepare(request.variant)
                return self._take_prompt(engine, request.variant)
            case protocol.Rounds():
                return self._rounds(engine, request.count)
            case protocol.TokenRounds():
                return self._token_rounds(engine, request.count)
            case protocol.PassesAlone():
                return self._passes_alone(engine, request.count)
            case protocol.Trace():
                return self._trace(engine, request)
            case protocol.Complete():
                return self._complete(engine, request.prompts)
            case protocol.OpenDataset():
                return self._open_dataset(request)
            case protocol.ReadPrompts() if self._prompts is not None:
                token_ids, texts = self._prompts.prompts(request.first, request.count)
                return protocol.Prompts(token_ids=token_ids, texts=texts)
        return protocol.Failed(message=f"cannot answer {type(request).__name__}")

    def _load(self, group: protocol.GroupSpec) -> protocol.Loaded:
        def progress(text: str) -> None:
            self._send(protocol.Progress(text=text))

        engine = self.engine = self._prepared_engine or accelerator_named(group.engine).engine()
        group = self._group = self._fetch(group, progress)
        engine.load(group, progress)
        self._take_prompt(engine, protocol.Variant(graphs=False, kv_cache=True, new_tokens=1))  # the default one
        return protocol.Loaded(
            device=engine.device(),
            stack=engine.stack(),
            prompt_ids=self.prompts[0],
            memory_bandwidth=engine.memory_bandwidth(),
            unquantized=engine.unquantized,
        )

    def _take_prompt(self, engine: Engine, variant: protocol.Variant) -> protocol.Prepared:
        if not variant.prompt:  # those of a dataset come with each request
            return protocol.Prepared()
        texts = (variant.prompt,) if isinstance(variant.prompt, str) else variant.prompt
        wanted = texts, texts[: variant.batch_size], variant.prompt_tokens
        if wanted != self._prompt_taken:
            most, fixed = variant.prompt_tokens, self._group is not None and self._group.weights.kind == "dummy"
            counts = fixed_counts(texts, most) if fixed else [most] * len(texts)
            if (variant.prompt, most) == (PROMPT, PROMPT_TOKENS):
                prompts = [engine.prompt()]
            else:
                prompts = [engine.prompt_of(text, count) for text, count in zip(wanted[1], counts, strict=False)]
            self.prompts, self._prompt_taken = [prompt.ids for prompt in prompts], wanted
            self._tokenization_s = sum(prompt.tokenization_s or 0.0 for prompt in prompts) or None
        return protocol.Prepared(tokenization_s=self._tokenization_s)

    def _rounds(self, engine: Engine, count: int) -> protocol.RoundsDone:
        latencies: list[float] = []
        outputs: list[list[list[int]]] = []
        # What is there stays, and the collector need not look at it again: walking the 100 000 objects of torch before
        # each request empties the processor's caches, and makes the round after it several percent slower.
        gc.collect()
        gc.freeze()
        engine.reset_peak_memory()
        engine.begin_rounds()
        probes = [self._probe.seconds()]
        for _ in range(count):
            self._align()
            engine.synchronize()
            begin = time.perf_counter_ns()
            token_ids = engine.generate(self.prompts)
            engine.synchronize()
            latencies.append(_seconds_since(begin))
            outputs.append(token_ids)
            probes.append(self._probe.seconds())
        return protocol.RoundsDone(
            latencies_s=latencies,
            probes_s=[(before + after) / 2 for before, after in itertools.pairwise(probes)],
            rows=outputs[-1],
            prompts=len(self.prompts),
            same_tokens=all(output == outputs[-1] for output in outputs),
            peak_memory_bytes=engine.peak_memory_bytes(),
            graph_compilation=engine.graph_compilation(),
            problems=engine.problems(),
        )

    def _token_rounds(self, engine: Engine, count: int) -> protocol.TokenRoundsDone:
        first: list[float] = []
        following: list[float] = []
        for _ in range(count):
            times: list[int] = []
            self._align()
            engine.synchronize()
            begin = time.perf_counter_ns()
            engine.generate(self.prompts, on_token=_stopwatch(times))
            first.append((times[0] - begin) / 1e9)
            if len(times) > 1:
                following.append((times[-1] - times[0]) / 1e9 / (len(times) - 1))
        return protocol.TokenRoundsDone(first_token_s=first, per_output_token_s=following)

    def _passes_alone(self, engine: Engine, count: int) -> protocol.PassesAloneDone:
        seconds: list[float] = []
        try:
            for _ in range(count + 1):  # the first one compiles what it needs
                engine.synchronize()
                begin = time.perf_counter_ns()
                if not engine.pass_alone(self.prompts[0]):
                    break
                engine.synchronize()
                seconds.append(_seconds_since(begin))
        except Exception:  # a run that is measured already is not lost for want of it
            traceback.print_exc()
            seconds = []
        return protocol.PassesAloneDone(rank_passes_s=[seconds[1:]] if seconds else [])

    def _trace(self, engine: Engine, request: protocol.Trace) -> protocol.Traced:
        try:
            prompts = request.prompts or self.prompts
            return protocol.Traced(traces=engine.trace(prompts, request.token_ids, request.plain))
        except NotNumbersError as error:
            return protocol.Traced(problem=str(error))

    def _open_dataset(self, request: protocol.OpenDataset) -> protocol.DatasetOpened:
        assert self._group is not None
        source = self._prompts = PromptSource(request.dataset, request.prompt_tokens, self._group)
        return protocol.DatasetOpened(
            column=source.column, split=source.split, rows=len(source), content=source.content, tokens=source.tokens
        )

    def _complete(self, engine: Engine, prompts: list[list[int]]) -> protocol.Completed:
        engine.synchronize()
        self._align()
        begin = time.perf_counter_ns()
        token_ids = engine.complete(prompts)
        engine.synchronize()
        seconds = _seconds_since(begin)
        texts = [] if self._prompts is None else self._prompts.texts(token_ids)
        return protocol.Completed(latency_s=seconds, token_ids=token_ids, texts=texts)


def _seconds_since(begin_ns: int) -> float:
    return (time.perf_counter_ns() - begin_ns) / 1e9


def _stopwatch(times: list[int]) -> Callable[[], None]:
    return lambda: times.append(time.perf_counter_ns())


def serve(stream: io.BufferedRWPair, make: Callable[[Send], Worker]) -> Worker:
    """Answer the requests of a stream, by a worker that is made for it, until it ends or says ``Stop``."""

    def send(reply: protocol.AnyReply) -> None:
        stream.write(encode_line(reply))
        stream.flush()

    decoder = msgspec.json.Decoder(protocol.AnyRequest)
    send(protocol.Hello(pid=os.getpid()))
    made = make(send)
    for line in stream:
        request = decoder.decode(line)
        if isinstance(request, protocol.Stop):
            break
        send(made.answer(request))
    return made


def main(make_worker: Callable[[Send], Worker] = Worker) -> None:
    """Connect to the controller and serve it."""
    parser = argparse.ArgumentParser(description="A worker of gaudi-perf; started by the suite, not by hand.")
    parser.add_argument("--socket", required=True, help="path of the controller's Unix domain socket")
    parser.add_argument("--parent", required=True, type=int, help="process id of the controller; 0 if out of sight")
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(arguments.socket)
        if arguments.parent == 0:
            die_with_connection(connection)
        with connection.makefile("rwb") as stream:
            serve(stream, make_worker)


if __name__ == "__main__":
    main()
