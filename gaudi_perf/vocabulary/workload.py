"""The workload: what is generated."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, UnsetType

from gaudi_perf.vocabulary.documents import Document, PositiveInt

PROMPT = "DeepSpeed is a machine learning framework"
"""The article's prompt (https://huggingface.co/blog/habana-gaudi-2-bloom)."""

PROMPT_TOKENS = 7
"""The number of tokens that BLOOM's tokenizer makes of the prompt, by the article."""

NEW_TOKENS = 100
"""New tokens of the article's generations."""

FIXED_PROMPT_IDS = (365, 265, 263, 361, 357, 364, 300)
"""Seven token ids that stand for the prompt where there is no tokenizer (dummy weights); all are in every stand-in's
vocabulary and none is a special token. Latency does not depend on their values."""

OF_DATASET = "dataset "
"""What the prompt of a workload begins with where a dataset stands for it."""

Dtype = Literal["bfloat16", "float16", "float32", "fp8", "fp8kv"]
"""``fp8``: linear layers take weights and activations in FP8 (e4m3), all else is bfloat16; ``fp8kv``: so do attention's
products, and the KV cache is FP8."""
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
FP8: frozenset[Dtype] = frozenset({"fp8", "fp8kv"})
_SHORT: dict[Dtype, str] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "fp8": "fp8", "fp8kv": "fp8kv"}
OPTION_FIELDS = {
    "batch": "batch_size",
    "prompt": "prompt_tokens",
    "new": "new_tokens",
    "beams": "num_beams",
    "dtype": "dtype",
}
"""Names of the fields in ``--workload``."""
DTYPE_NAMES: dict[str, Dtype] = {name: dtype for dtype, short in _SHORT.items() for name in (dtype, short)}
"""Types by their names and by their short ones, which case ids have."""
BYTES_PER_ELEMENT: dict[Dtype, int] = {"bfloat16": 2, "float16": 2, "float32": 4, "fp8": 1, "fp8kv": 1}
"""Of a weight."""


def carried_in(dtype: Dtype) -> Dtype:
    """The type that a model is loaded in, and that goes from layer to layer."""
    return "bfloat16" if dtype in FP8 else dtype


def cached_in(dtype: Dtype) -> Dtype:
    """The type of the KV cache."""
    return "bfloat16" if dtype == "fp8" else dtype


LONGEST_PROMPT = 20_000
"""Characters of all prompts of a workload: documents hold them."""
Text = Annotated[str, Meta(min_length=1, max_length=LONGEST_PROMPT)]
NumBeams = Annotated[int, Meta(ge=2, le=64)]
PenaltyAlpha = Annotated[float, Meta(ge=1e-9, lt=1)]
TopK = Annotated[int, Meta(ge=2, le=1000)]


class Workload(Document, frozen=True):
    """One generation without sampling, so that its tokens are the same every time; it does not stop before its
    ``new_tokens``. It is greedy, unless beams or a penalty are set.

    The batch size is how many prompts are completed at once, the dtype that of weights and activations.

    Attributes:
        prompt: a text for all rows of the batch, or several, which the rows take in turn. A text of fewer tokens than
            ``prompt_tokens`` is padded on the left.
        num_beams: of a beam search, as transformers calls it.
        penalty_alpha: of a contrastive search (Su et al., A Contrastive Framework for Neural Text Generation, 2022),
            between as many candidates as ``top_k`` says.
    """

    prompt: Text | Annotated[tuple[Text, ...], Meta(min_length=2)] = PROMPT
    prompt_tokens: PositiveInt = PROMPT_TOKENS
    new_tokens: PositiveInt = NEW_TOKENS
    batch_size: PositiveInt = 1
    dtype: Dtype = "bfloat16"
    num_beams: NumBeams | UnsetType = UNSET
    penalty_alpha: PenaltyAlpha | UnsetType = UNSET
    top_k: TopK | UnsetType = UNSET

    def __post_init__(self) -> None:
        if sum(map(len, self.prompts)) > LONGEST_PROMPT:
            raise ValueError(f"prompts of more than {LONGEST_PROMPT} characters")
        if bool(self.penalty_alpha) is not bool(self.top_k):
            raise ValueError("a contrastive search has penalty_alpha and top_k, both")
        if self.num_beams and self.top_k:
            raise ValueError("a search is by beams (num_beams) or contrastive (penalty_alpha, top_k), not both")

    @property
    def prompts(self) -> tuple[str, ...]:
        """The texts that rows take in turn."""
        return (self.prompt,) if isinstance(self.prompt, str) else self.prompt

    @property
    def prompt_digest(self) -> str:
        """Eight digits of the SHA-256 of its prompts."""
        return hashlib.sha256("\0".join(self.prompts).encode()).hexdigest()[:8]

    @property
    def search(self) -> str:
        """``beam search`` or ``contrastive search``; empty if it is greedy."""
        return "beam search" if self.num_beams else "contrastive search" if self.top_k else ""

    def tokens_per_s(self, latency_s: float) -> float:
        """The throughput at a latency: new tokens a second, over all rows of the batch."""
        return self.new_tokens * self.batch_size / latency_s

    @property
    def words(self) -> str:
        """What is generated, for people: ``100 new tokens, 7 prompt tokens, batch 1, bfloat16``."""
        sizes = f"{self.new_tokens} new tokens, {self.prompt_tokens} prompt tokens, batch {self.batch_size}"
        return ", ".join(filter(None, (sizes, self.dtype, self.search)))

    @property
    def option(self) -> str:
        """What is not the default, as ``--workload`` takes it; of prompts their number of tokens, not their texts."""
        default = Workload()
        parts = [(name, getattr(self, field), getattr(default, field)) for name, field in OPTION_FIELDS.items()]
        search = [f"contrastive={self.penalty_alpha}:{self.top_k}"] if self.top_k else []
        return ",".join([*(f"{name}={own}" for name, own, usual in parts if own != usual), *search])

    @property
    def sequences(self) -> int:
        """How many sequences have keys and values of their own: every beam, or candidate, of every row."""
        return self.batch_size * (self.num_beams or self.top_k or 1)

    @property
    def of_dataset(self) -> bool:
        """Whether the prompts of a dataset stand for the prompt."""
        return isinstance(self.prompt, str) and self.prompt.startswith(OF_DATASET)

    @property
    def differing(self) -> list[str]:
        """What is not the default, as case ids have it: ``fp32``, ``b4``, ``p1024``, ``n256``, ``beams4``,
        ``contrastive0.5k4``, and ``prompt`` with eight digits of the prompt's SHA-256.
        """
        other = [] if self.prompt == PROMPT else [f"prompt{self.prompt_digest}"]
        parts = [] if self.dtype == "bfloat16" else [_SHORT[self.dtype]]
        parts += [] if self.batch_size == 1 else [f"b{self.batch_size}"]
        parts += [] if self.prompt_tokens == PROMPT_TOKENS else [f"p{self.prompt_tokens}"]
        parts += [] if self.new_tokens == NEW_TOKENS else [f"n{self.new_tokens}"]
        parts += [f"beams{self.num_beams}"] if self.num_beams else []
        parts += [f"contrastive{f'{self.penalty_alpha:.9f}'.rstrip('0')}k{self.top_k}"] if self.top_k else []
        return parts + other


def first_own_id(vocabulary: int) -> int:
    """Below it are BLOOM's special tokens, unless a vocabulary has no others."""
    return 4 if vocabulary > 4 else 0


def fixed_ids(prompt: str, count: int, vocabulary: int) -> list[int]:
    """Token ids that stand for a prompt where there is no tokenizer: ``FIXED_PROMPT_IDS``, and after them, or for
    another prompt or a vocabulary without them, ids that a multiplicative generator makes of its text. None is below 4,
    where special tokens are, unless there are no others.
    """
    ids = list(FIXED_PROMPT_IDS) if prompt == PROMPT and max(FIXED_PROMPT_IDS) < vocabulary else []
    first = first_own_id(vocabulary)
    state = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big") | 1
    while len(ids) < count:
        state = state * 48271 % (2**31 - 1) or 1  # Park and Miller, Communications of the ACM 31 (10), 1988
        ids.append(first + state % (vocabulary - first))
    return ids[:count]


def fixed_counts(prompts: Sequence[str], most: int) -> list[int]:
    """How many fixed ids stand for each of several prompts: ``most`` for that of the most words, and for the others in
    proportion.
    """
    words = [max(1, len(prompt.split())) for prompt in prompts]
    return [max(1, round(most * count / max(words))) for count in words]


def fields_of(parts: Iterable[str]) -> dict[str, object]:
    """The fields that parts as of ``Workload.differing`` name; of a prompt they have only a digest."""
    sizes = {"b": "batch_size", "p": "prompt_tokens", "n": "new_tokens"}
    fields: dict[str, object] = {}
    for part in parts:
        if part in DTYPE_NAMES:
            fields["dtype"] = DTYPE_NAMES[part]
        elif part[1:].isdecimal() and part[0] in sizes:
            fields[sizes[part[0]]] = int(part[1:])
        elif part.startswith("beams"):
            fields["num_beams"] = int(part[5:])
        elif part.startswith("contrastive"):
            alpha, _, k = part[11:].partition("k")
            fields |= {"penalty_alpha": float(alpha), "top_k": int(k)}
    return fields
