"""What controller and rank say to each other: one JSON document a line, over a Unix domain socket.

The controller asks, rank 0 answers; every request gets exactly one final reply, and ``Progress`` lines before it.
No pickle: both sides decode typed documents and refuse anything else. Rank agents report on standard output. What both
sides must agree on besides, environment variables and statuses, is at the end.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Annotated

import msgspec

from gaudi_perf.vocabulary.configuration import WeightsKind
from gaudi_perf.vocabulary.dataset import Dataset, Tokens
from gaudi_perf.vocabulary.documents import Bytes, Count, Document, Name, PositiveInt, Seconds, TokenId
from gaudi_perf.vocabulary.models import Scale
from gaudi_perf.vocabulary.outputs import TokenTrace
from gaudi_perf.vocabulary.run import GraphCompilation
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import PROMPT_TOKENS, Dtype


class Weights(Document, frozen=True):
    """Where weights come from: ``dummy``, ``hub`` (the model's own repository), or ``path`` with a directory.

    Attributes:
        path: the directory; of the hub's weights that of its files on this host, once a worker has fetched them.
    """

    kind: WeightsKind = "dummy"
    path: str = ""

    @property
    def label(self) -> str:
        """How a case names them: a path by its last component only, so that no private path is reported."""
        return self.kind if self.kind != "path" else f"path:{self.path.rstrip('/').rsplit('/', 1)[-1]}"


class GroupSpec(Document, frozen=True):
    """What a worker group holds: one model on a number of devices. Cases that agree in this share the group."""

    engine: Name
    model: Name
    devices: PositiveInt
    scale: Scale
    dtype: Dtype
    weights: Weights = Weights()
    threads: PositiveInt | None = None


class Variant(Document, frozen=True):
    """How the loaded model generates: what varies between the cases of a group.

    Attributes:
        prompt_tokens: the length of prompts; shorter ones of a batch are padded to it.
    """

    graphs: bool
    kv_cache: bool
    new_tokens: PositiveInt
    batch_size: PositiveInt = 1
    prompt_tokens: PositiveInt = PROMPT_TOKENS


# ---- requests


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="request"):
    """Base of what the controller asks.

    Attributes:
        patience_s: to several ranks: when the controller will give up, in seconds from now.
    """

    patience_s: float | None = None


class Load(Request, frozen=True, tag="load"):
    """Load the model."""

    group: GroupSpec


class Prepare(Request, frozen=True, tag="prepare"):
    """Make the loaded model generate in this variant from now on."""

    variant: Variant


class Rounds(Request, frozen=True, tag="rounds"):
    """Time this many generations, one after the other, with nothing in between but the reference probes."""

    count: PositiveInt


class TokenRounds(Request, frozen=True, tag="token-rounds"):
    """Take the time of every token in this many generations."""

    count: PositiveInt


class PassesAlone(Request, frozen=True, tag="passes-alone"):
    """Time so many forward passes of each rank's part of the model without collectives: no rank waits for another."""

    count: PositiveInt


class Trace(Request, frozen=True, tag="trace"):
    """Generate once more, led along these tokens, and return the logits of every step. Never among timed rounds.

    Attributes:
        token_ids: the new tokens to follow.
        plain: by one eager pass over prompt and tokens, instead of the prepared variant's own way.
        prompt_ids: what the tokens follow; empty for the workload's prompt.
    """

    token_ids: Annotated[list[TokenId], msgspec.Meta(min_length=1)]
    plain: bool = False
    prompt_ids: list[TokenId] = []


class OpenDataset(Request, frozen=True, tag="open-dataset"):
    """Read a dataset, whose prompts are completed from now on. Of several ranks only the first reads it.

    Attributes:
        prompt_tokens: prompts are cut to this many tokens.
        cache: a private directory for what is made of a local file.
    """

    dataset: Dataset
    prompt_tokens: PositiveInt
    cache: str


class ReadPrompts(Request, frozen=True, tag="read-prompts"):
    """Return these prompts of the dataset; the rank that has read it does."""

    first: Count
    count: PositiveInt


class Complete(Request, frozen=True, tag="complete"):
    """Complete these prompts in one batch of the prepared variant, and time it.

    It holds the token ids themselves, so that passed on to other ranks it needs no dataset there.
    """

    prompts: Annotated[list[list[TokenId]], msgspec.Meta(min_length=1)]


class Ping(Request, frozen=True, tag="ping"):
    """Answer at once."""


class Stop(Request, frozen=True, tag="stop"):
    """End."""


AnyRequest = (
    Load | Prepare | Rounds | TokenRounds | PassesAlone | Trace | OpenDataset | ReadPrompts | Complete | Ping | Stop
)


# ---- replies


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="reply"):
    """Base of what the worker answers."""


class Hello(Reply, frozen=True, tag="hello"):
    """The first line of a worker: it is there."""

    pid: PositiveInt


class Progress(Reply, frozen=True, tag="progress"):
    """What the worker is doing, for people; not a final reply."""

    text: str


class Loaded(Reply, frozen=True, tag="loaded"):
    """The model is there.

    Attributes:
        prompt_ids: the token ids that stand for the prompt.
        tokenization_s: time the tokenizer took, or None where fixed ids stand in for the prompt.
        memory_bandwidth: bytes a second that the device reads, where the worker measured it.
        phases_s: what the start of rank 0 of several consisted of, in seconds; ``launch`` is when it was started, in
            seconds since 1970.
    """

    device: Device
    stack: Stack
    prompt_ids: list[TokenId]
    tokenization_s: Seconds | None = None
    memory_bandwidth: Annotated[float, msgspec.Meta(gt=0)] | None = None
    phases_s: dict[str, float] = {}


class Prepared(Reply, frozen=True, tag="prepared"):
    """The variant is in force."""


class RoundsDone(Reply, frozen=True, tag="rounds-done"):
    """The rounds.

    Attributes:
        latencies_s: duration of each, the slowest rank's.
        rank_latencies_s: per rank and round, where there are several ranks.
        probes_s: mean of the reference probes before and after each round, or None where there are none.
        token_ids: the new tokens of the last round.
        same_tokens: whether all rounds gave the same tokens.
        problems: why these rounds must not be judged (a graph compilation inside a round, throttling, ...).
    """

    latencies_s: Annotated[list[Seconds], msgspec.Meta(min_length=1)]
    token_ids: list[TokenId]
    same_tokens: bool
    probes_s: list[Seconds] | None = None
    rank_latencies_s: list[list[Seconds]] | None = None
    peak_memory_bytes: Bytes | None = None
    graph_compilation: GraphCompilation | None = None
    problems: list[str] = []


class TokenRoundsDone(Reply, frozen=True, tag="token-rounds-done"):
    """Per round: seconds to the first new token, and seconds per following token (empty for one-token rounds)."""

    first_token_s: list[Seconds]
    per_output_token_s: list[Seconds]


class PassesAloneDone(Reply, frozen=True, tag="passes-alone-done"):
    """Per rank the duration of each pass; none where the engine does not support it."""

    rank_passes_s: list[list[Seconds]]


class Traced(Reply, frozen=True, tag="traced"):
    """The logits along the tokens.

    Attributes:
        trace: None if this engine gives no logits, or if they are no numbers.
        problem: why they must not be believed, as a sentence.
    """

    trace: TokenTrace | None = None
    problem: str = ""


class DatasetOpened(Reply, frozen=True, tag="dataset-opened"):
    """The dataset is there.

    Attributes:
        content: a digest of the first prompts.
        tokens: where token ids come from.
    """

    column: str
    split: str
    rows: PositiveInt
    content: str
    tokens: Tokens


class Prompts(Reply, frozen=True, tag="prompts"):
    """Prompts as token ids and as text, cut."""

    token_ids: list[list[TokenId]]
    texts: list[str]


class Completed(Reply, frozen=True, tag="completed"):
    """A batch.

    Attributes:
        latency_s: of the generation alone, the slowest rank's.
        token_ids: the new tokens of each prompt.
        texts: the same as text, as far as there is a tokenizer.
    """

    latency_s: Seconds
    token_ids: list[list[TokenId]]
    texts: list[str]


class Pong(Reply, frozen=True, tag="pong"):
    """The answer to Ping."""


class Failed(Reply, frozen=True, tag="failed"):
    """The request failed; the worker may go on.

    Attributes:
        message: what happened, in a sentence.
        mistake: whether it is a mistake that its maker can mend (bad weights, no tokenizer), not a fault.
    """

    message: str
    mistake: bool = False


AnyReply = (
    Hello
    | Progress
    | Loaded
    | Prepared
    | RoundsDone
    | TokenRoundsDone
    | PassesAloneDone
    | Traced
    | DatasetOpened
    | Prompts
    | Completed
    | Pong
    | Failed
)


# ---- what rank agents report


class RankReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The state of a rank. Agents report it every second, and when it changes.

    Attributes:
        rank: which.
        host: where.
        pid: the process id of the rank on its host.
        stopped: whether a signal has stopped it.
        ended: its exit status, negative for a signal, once it has ended.
        last: its last line, once it has ended.
    """

    rank: int
    host: str
    pid: int
    stopped: bool = False
    ended: int | None = None
    last: str = ""


REPORT = "gaudi-perf-rank "
"""What a line with a report begins with."""
MISTAKE_STATUS = 78  # EX_CONFIG of sysexits.h
"""Exit status of a rank whose last line is a sentence about a mistake that a person can mend."""


# ---- the environment of a group's processes

MARK = "_GAUDI_PERF_WORKER_GROUP"
"""Has the private directory of the group: by it all that a group started is found again."""
PATIENCE = "_GAUDI_PERF_PATIENCE"
"""Has the seconds after which the controller gives up on loading."""
STARTED = "_GAUDI_PERF_RANK_STARTED"
"""Has the time at which a rank was started, in seconds since 1970."""
HANDED_ON = "_GAUDI_PERF_HANDED_ON"
"""Has the variables that are handed on to other hosts: an encoded ``HandedOn``."""
VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
"""DeepSpeed's launcher numbers the devices of a host anew, from 0, for every accelerator; rank agents undo that."""
ALIVE = "alive"
"""Name of a pipe beside the socket, which the controller has open while it lives, where there are rank agents."""


class HandedOn(Document, frozen=True):
    """What other hosts get of the controller's environment.

    Attributes:
        first_host: the name of the controller's host.
        visible_devices: what ``VISIBLE_DEVICES`` shows there, if it is set.
    """

    variables: dict[str, str] = {}
    first_host: str = ""
    visible_devices: str | None = None

    def encode(self) -> str:
        """As letters, digits, ``-``, ``_`` and ``=``, which no shell and no launcher changes."""
        text = json.dumps(msgspec.to_builtins(self))  # which holds bytes that are no UTF-8, too
        return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode()

    @staticmethod
    def decode(value: str) -> HandedOn:
        """What ``encode`` has made of it."""
        return msgspec.convert(json.loads(zlib.decompress(base64.urlsafe_b64decode(value))), HandedOn)
