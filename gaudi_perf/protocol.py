"""What controller and rank say to each other: one typed JSON document a line, over a Unix domain socket.

The controller asks, rank 0 answers; every request gets exactly one final reply, and ``Progress`` lines before it.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import WeightsKind
from gaudi_perf.vocabulary.dataset import Dataset, Tokens
from gaudi_perf.vocabulary.documents import Bytes, Count, Document, Name, PositiveInt, Seconds, TokenId
from gaudi_perf.vocabulary.gaudi_options import GaudiOptions
from gaudi_perf.vocabulary.models import Scale, shipped_model
from gaudi_perf.vocabulary.run import GraphCompilation, TokenTrace
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import PROMPT, PROMPT_TOKENS, Dtype, NumBeams, PenaltyAlpha, TopK, carried_in


class Weights(Document, frozen=True):
    """Where weights come from; ``path`` is that of the hub's files, too, once a worker has fetched them."""

    kind: WeightsKind = "dummy"
    path: str = ""

    @property
    def label(self) -> str:
        """How a case names them: a path by its last component only, so that no private path is reported."""
        return self.kind if self.kind != "path" else f"path:{self.path.rstrip('/').rsplit('/', 1)[-1]}"


class GroupSpec(Document, frozen=True):
    """What a worker group holds; cases that agree in this share the group.

    ``architecture`` and ``hub_id`` are None and empty for the models of the suite's own catalogue. With
    ``gaudi_options`` a model in FP8 is calibrated.
    """

    engine: Name
    model: Name
    devices: PositiveInt
    scale: Scale
    dtype: Dtype
    weights: Weights = Weights()
    architecture: Architecture | None = None
    hub_id: str = ""
    gaudi_options: GaudiOptions = GaudiOptions()

    @property
    def built(self) -> Architecture:
        """What the model is made of."""
        return self.architecture or shipped_model(self.model).at(self.scale)

    @property
    def carried_dtype(self) -> Dtype:
        """The type that it is loaded in; FP8 is made of it."""
        return carried_in(self.dtype)

    @property
    def repository(self) -> str:
        """The model's repository on the hub."""
        return self.hub_id or shipped_model(self.model).hub_id


class Variant(Document, frozen=True):
    """How the loaded model generates; prompts of a batch are cut to ``prompt_tokens``, or padded to them on the
    left. The prompt is empty where those of a dataset stand for it. The search is greedy unless there are beams or a
    penalty, which are those of ``Workload``.
    """

    graphs: bool
    kv_cache: bool
    new_tokens: PositiveInt
    batch_size: PositiveInt = 1
    prompt_tokens: PositiveInt = PROMPT_TOKENS
    prompt: str | tuple[str, ...] = PROMPT
    compiled: bool = False
    num_beams: NumBeams | UnsetType = UNSET
    penalty_alpha: PenaltyAlpha | UnsetType = UNSET
    top_k: TopK | UnsetType = UNSET
    gaudi_options: GaudiOptions = GaudiOptions()

    @property
    def search(self) -> dict[str, int | float]:
        """How it searches, as transformers' ``GenerationConfig`` has it; empty if it is greedy."""
        values = {name: getattr(self, name) for name in ("num_beams", "penalty_alpha", "top_k")}
        return {name: value for name, value in values.items() if value}


# ---- requests


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="request"):
    """Base of what the controller asks; ``patience_s``: after which it gives up on several ranks."""

    patience_s: float | None = None


class Load(Request, frozen=True, tag="load"):
    """Answered by ``Loaded``."""

    group: GroupSpec


class Prepare(Request, frozen=True, tag="prepare"):
    """Generate in this variant from now on."""

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
    """Generate once more, each prompt led along its new tokens, and return the logits of every step. Never among timed
    rounds.

    ``plain``: by one eager pass over each prompt (``prompts``, or the workload's) and tokens, not in the variant's way.
    """

    token_ids: Annotated[list[list[TokenId]], msgspec.Meta(min_length=1)]
    plain: bool = False
    prompts: list[list[TokenId]] = []


class OpenDataset(Request, frozen=True, tag="open-dataset"):
    """Read a dataset, whose prompts, cut to ``prompt_tokens``, are completed from now on; only rank 0 reads it."""

    dataset: Dataset
    prompt_tokens: PositiveInt


class ReadPrompts(Request, frozen=True, tag="read-prompts"):
    """Return these prompts of the dataset."""

    first: Count
    count: PositiveInt


class Complete(Request, frozen=True, tag="complete"):
    """Complete these prompts in one batch, and time it. As they are token ids, other ranks need no dataset."""

    prompts: Annotated[list[list[TokenId]], msgspec.Meta(min_length=1)]


class Ping(Request, frozen=True, tag="ping"):
    """Answer at once: what a request costs."""


class Stop(Request, frozen=True, tag="stop"):
    """End."""


_Asked = Load | Prepare | Rounds | TokenRounds | PassesAlone | Trace | OpenDataset | ReadPrompts | Complete
AnyRequest = _Asked | Ping | Stop


# ---- replies


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="reply"):
    """Base of what the worker answers."""


class Hello(Reply, frozen=True, tag="hello"):
    """The first line of a worker: it is there."""

    pid: PositiveInt


class Progress(Reply, frozen=True, tag="progress"):
    """What the worker is doing, for people; not a final reply."""

    text: str


class Unquantized(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model gave before it became FP8: its logits, in one pass along these tokens.

    ``layer``: the linear layer whose FP8 output is farthest from the one before, for the same input, and ``error``, the
    root mean square of the difference, as a share of the output's.
    """

    prompt_ids: list[TokenId]
    trace: TokenTrace
    layer: Name
    error: Annotated[float, msgspec.Meta(ge=0)]


class Loaded(Reply, frozen=True, tag="loaded"):
    """The model is there.

    Attributes:
        memory_bandwidth: bytes a second that the device reads, where the worker measured it.
        unquantized: where the model is in FP8.
        phases_s: what the start of rank 0 of several consisted of; ``launch`` is when, in seconds since 1970.
    """

    device: Device
    stack: Stack
    prompt_ids: list[TokenId]
    memory_bandwidth: Annotated[float, msgspec.Meta(gt=0)] | None = None
    phases_s: dict[str, float] = {}
    unquantized: Unquantized | None = None


class Prepared(Reply, frozen=True, tag="prepared"):
    """The variant is in force; ``tokenization_s`` is None where fixed ids stand in for its prompt."""

    tokenization_s: Seconds | None = None


class RoundsDone(Reply, frozen=True, tag="rounds-done"):
    """The rounds, of several ranks the slowest's; ``rank_latencies_s`` are per rank and round.

    Attributes:
        rows: the token ids of each row in the last round, and in all if ``same_tokens``.
        prompts: how many prompts the rows take in turn.
        probes_s: mean of the reference probes before and after each round.
        problems: why these rounds must not be judged (a graph compilation inside a round, throttling, ...).
    """

    latencies_s: Annotated[list[Seconds], msgspec.Meta(min_length=1)]
    rows: Annotated[list[list[TokenId]], msgspec.Meta(min_length=1)]
    same_tokens: bool
    prompts: PositiveInt = 1
    probes_s: list[Seconds] | None = None
    rank_latencies_s: list[list[Seconds]] | None = None
    peak_memory_bytes: Bytes | None = None
    graph_compilation: GraphCompilation | None = None
    problems: list[str] = []

    @property
    def token_ids(self) -> list[TokenId]:
        """Those of the first row."""
        return self.rows[0]


class TokenRoundsDone(Reply, frozen=True, tag="token-rounds-done"):
    """Per round: seconds to the first new token, and seconds per following token (empty for one-token rounds)."""

    first_token_s: list[Seconds]
    per_output_token_s: list[Seconds]


class PassesAloneDone(Reply, frozen=True, tag="passes-alone-done"):
    """Per rank the duration of each pass; none where the engine does not support it."""

    rank_passes_s: list[list[Seconds]]


class Traced(Reply, frozen=True, tag="traced"):
    """The logits along the tokens of each prompt: none if this engine gives none, or a problem why they must not be
    believed.
    """

    traces: list[TokenTrace] = []
    problem: str = ""


class DatasetOpened(Reply, frozen=True, tag="dataset-opened"):
    """The dataset is there; ``content`` is a digest of the first prompts."""

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
    """A batch: the slowest rank's time for the generation alone, and the new tokens of each prompt."""

    latency_s: Seconds
    token_ids: list[list[TokenId]]
    texts: list[str]


class Pong(Reply, frozen=True, tag="pong"):
    """The answer to Ping."""


class Failed(Reply, frozen=True, tag="failed"):
    """The request failed; the worker may go on. A mistake (bad weights, no tokenizer) is one that a person can mend."""

    message: str
    mistake: bool = False


_Done = Loaded | Prepared | RoundsDone | TokenRoundsDone | PassesAloneDone | Traced | DatasetOpened | Prompts
AnyReply = Hello | Progress | _Done | Completed | Pong | Failed


# ---- what rank agents report


class RankReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The state of a rank, with its process id on its host. Agents report it every second, and when it changes.

    Once it has ended, ``ended`` is its exit status, negative for a signal, and ``last`` the last line that it wrote.
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


# ---- the environment of a group's processes: names of variables, and of a pipe

MARK = "_GAUDI_PERF_WORKER_GROUP"
"""The private directory of the group: by it all that a group started is found again."""
PATIENCE = "_GAUDI_PERF_PATIENCE"
"""The seconds after which the controller gives up on loading."""
STARTED = "_GAUDI_PERF_RANK_STARTED"
"""When a rank was started, in seconds since 1970."""
HANDED_ON = "_GAUDI_PERF_HANDED_ON"
"""An encoded ``HandedOn``."""
VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
"""DeepSpeed's launcher numbers the devices of a host anew, from 0, for every accelerator; rank agents undo that."""
ALIVE = "alive"
"""Name of a pipe beside the socket, which the controller has open while it lives, where there are rank agents."""


class HandedOn(Document, frozen=True):
    """What other hosts get of the controller's environment; ``VISIBLE_DEVICES`` is that of the first host alone."""

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
