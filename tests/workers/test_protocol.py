from __future__ import annotations

import io
import os
import subprocess
import sys
from unittest.mock import Mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_perf import protocol
from gaudi_perf.generation.prompts import Prompt
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.vocabulary.run import GraphCompilation
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.workers.rank.worker import Worker, serve

SECONDS = st.floats(min_value=1e-9, max_value=1e9)
TEXT = st.text(max_size=20)
weights = st.builds(protocol.Weights, kind=st.sampled_from(["dummy", "hub", "path"]), path=TEXT)
groups = st.builds(
    protocol.GroupSpec,
    engine=st.just("cpu"),
    model=st.just("bloomz7b"),
    devices=st.integers(1, 64),
    scale=st.sampled_from(["standin", "full"]),
    dtype=st.sampled_from(["bfloat16", "float16", "float32"]),
    weights=weights,
)
variants = st.builds(
    protocol.Variant,
    graphs=st.booleans(),
    kv_cache=st.booleans(),
    new_tokens=st.integers(1, 1000),
    batch_size=st.integers(1, 64),
)
counts = st.integers(1, 1000)
requests = st.one_of(
    st.builds(protocol.Load, group=groups),
    st.builds(protocol.Prepare, variant=variants),
    st.builds(protocol.Rounds, count=counts),
    st.builds(protocol.TokenRounds, count=counts),
    st.builds(protocol.PassesAlone, count=counts),
    st.just(protocol.Ping()),
    st.just(protocol.Stop()),
)
replies = st.one_of(
    st.builds(protocol.Hello, pid=st.integers(1, 2**22)),
    st.builds(protocol.Progress, text=TEXT),
    st.builds(
        protocol.Loaded,
        device=st.just(Device(name="cpu", accelerator="cpu")),
        stack=st.just(Stack(kind="torch", version="2.13.0")),
        prompt_ids=st.lists(st.integers(0, 250_880)),
    ),
    st.builds(protocol.Prepared, tokenization_s=st.none() | SECONDS),
    st.builds(
        protocol.RoundsDone,
        latencies_s=st.lists(SECONDS, min_size=1),
        rows=st.lists(st.lists(st.integers(0, 250_880)), min_size=1),
        same_tokens=st.booleans(),
        probes_s=st.none() | st.lists(SECONDS),
        rank_latencies_s=st.none() | st.lists(st.lists(SECONDS), max_size=2),
        peak_memory_bytes=st.none() | st.integers(0, 2**40),
        graph_compilation=st.none() | st.builds(GraphCompilation, seconds=st.none() | SECONDS, count=counts),
        problems=st.lists(TEXT, max_size=2),
    ),
    st.builds(protocol.TokenRoundsDone, first_token_s=st.lists(SECONDS), per_output_token_s=st.lists(SECONDS)),
    st.builds(protocol.PassesAloneDone, rank_passes_s=st.lists(st.lists(SECONDS), max_size=2)),
    st.just(protocol.Prepared()),
    st.just(protocol.Pong()),
    st.builds(protocol.Failed, message=TEXT, mistake=st.booleans()),
)


@settings(deadline=None)
@given(requests)
def test_requests_cross_the_border_unchanged(request: protocol.Request) -> None:
    line = encode_line(request)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert msgspec.json.decode(line, type=protocol.AnyRequest) == request


@settings(deadline=None)
@given(replies)
def test_replies_cross_the_border_unchanged(reply: protocol.Reply) -> None:
    line = encode_line(reply)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert msgspec.json.decode(line, type=protocol.AnyReply) == reply


@pytest.mark.parametrize(
    "line",
    [
        b'{"request": "rounds"}',
        b'{"request": "rounds", "count": 0}',
        b'{"request": "rounds", "count": 1, "shell": "true"}',
        b'{"request": "load", "group": {"engine": "cpu"}}',
        b'{"count": 1}',
    ],
)
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(line, type=protocol.AnyRequest)


def test_a_private_path_is_not_in_a_label() -> None:
    assert protocol.Weights(kind="path", path="/home/jo/secret/bloomz/").label == "path:bloomz"
    assert protocol.Weights(kind="hub").label == "hub"


class Stream(io.BytesIO):
    """Reads what was asked; keeps what is answered."""

    def __init__(self, *requests: protocol.Request) -> None:
        super().__init__(b"".join(map(encode_line, requests)))
        self.answers: list[protocol.AnyReply] = []

    def write(self, data: object) -> int:
        self.answers.append(msgspec.json.decode(bytes(data), type=protocol.AnyReply))  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def test_every_request_gets_one_reply_after_hello() -> None:
    stream = Stream(protocol.Ping(), protocol.Rounds(count=1), protocol.Ping(), protocol.Stop(), protocol.Ping())
    serve(stream, Worker)  # type: ignore[arg-type]
    assert stream.answers == [
        protocol.Hello(pid=os.getpid()),
        protocol.Pong(),
        protocol.Failed(message="nothing is loaded yet"),
        protocol.Pong(),
    ]


def test_the_end_of_the_stream_is_the_end() -> None:
    stream = Stream(protocol.Ping())
    serve(stream, Worker)  # type: ignore[arg-type]
    assert stream.answers[-1] == protocol.Pong()


def test_the_time_of_a_prompt_is_that_of_every_case_that_has_it() -> None:
    engine = Mock(**{"prompt.return_value": Prompt([1], 1.0), "prompt_of.return_value": Prompt([2], 2.0)})
    worker = Worker(lambda reply: None, engine=engine)
    group = protocol.GroupSpec(engine="cpu", model="bloomz7b", devices=1, scale="standin", dtype="float32")
    assert isinstance(worker.answer(protocol.Load(group=group)), protocol.Loaded)
    default = protocol.Variant(graphs=False, kv_cache=True, new_tokens=1)
    other = msgspec.structs.replace(default, prompt="another")
    of_dataset = msgspec.structs.replace(default, prompt="")
    prepared = [worker.answer(protocol.Prepare(variant=one)) for one in (default, other, other, of_dataset, other)]
    assert prepared == [protocol.Prepared(tokenization_s=time) for time in (1.0, 2.0, 2.0, None, 2.0)]
    assert worker.prompts == [[2]] and engine.prompt_of.call_count == 1


def test_a_worker_whose_parent_is_another_ends_at_once() -> None:
    command = [sys.executable, "-m", "gaudi_perf.workers.rank.worker", "--socket", "/nowhere", "--parent", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "is gone" in done.stderr and "Traceback" not in done.stderr
