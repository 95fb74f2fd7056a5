"""The workload: what is generated."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from gaudi_perf.vocabulary.documents import Document, Name, PositiveInt

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

Dtype = Literal["bfloat16", "float16", "float32"]
DTYPES: tuple[Dtype, ...] = ("bfloat16", "float16", "float32")
_SHORT: dict[Dtype, str] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
BYTES_PER_ELEMENT: dict[Dtype, int] = {"bfloat16": 2, "float16": 2, "float32": 4}


class Workload(Document, frozen=True):
    """One generation: greedy, so that its tokens are the same every time; it does not stop before its ``new_tokens``.

    The batch size is how many prompts are completed at once, the dtype that of weights and activations.
    """

    prompt: Name = PROMPT
    prompt_tokens: PositiveInt = PROMPT_TOKENS
    new_tokens: PositiveInt = NEW_TOKENS
    batch_size: PositiveInt = 1
    dtype: Dtype = "bfloat16"

    @property
    def of_dataset(self) -> bool:
        """Whether the prompts of a dataset stand for the prompt."""
        return self.prompt.startswith(OF_DATASET)

    @property
    def differing(self) -> list[str]:
        """What is not the default, as case ids have it: ``fp32``, ``b4``, ``p1024``, ``n256``, and ``prompt`` with
        eight digits of the prompt's SHA-256.
        """
        other = [] if self.prompt == PROMPT else [f"prompt{hashlib.sha256(self.prompt.encode()).hexdigest()[:8]}"]
        parts = [] if self.dtype == "bfloat16" else [_SHORT[self.dtype]]
        parts += [] if self.batch_size == 1 else [f"b{self.batch_size}"]
        parts += [] if self.prompt_tokens == PROMPT_TOKENS else [f"p{self.prompt_tokens}"]
        parts += [] if self.new_tokens == NEW_TOKENS else [f"n{self.new_tokens}"]
        return parts + other


def fixed_ids(prompt: str, count: int, vocabulary: int) -> list[int]:
    """Token ids that stand for a prompt where there is no tokenizer: ``FIXED_PROMPT_IDS``, and after them, or for
    another prompt, ids that a multiplicative generator makes of its text. None is below 4, where special tokens are.
    """
    ids = list(FIXED_PROMPT_IDS) if prompt == PROMPT else []
    state = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big") | 1
    while len(ids) < count:
        state = state * 48271 % (2**31 - 1) or 1  # Park and Miller, Communications of the ACM 31 (10), 1988
        ids.append(4 + state % (vocabulary - 4))
    return ids[:count]


def fields_of(parts: Iterable[str]) -> dict[str, object]:
    """The fields that parts as of ``Workload.differing`` name; of a prompt they have only a digest."""
    dtypes = {short: dtype for dtype, short in _SHORT.items()}
    sizes = {"b": "batch_size", "p": "prompt_tokens", "n": "new_tokens"}
    fields: dict[str, object] = {}
    for part in parts:
        if part in dtypes:
            fields["dtype"] = dtypes[part]
        elif part[1:].isdecimal() and part[0] in sizes:
            fields[sizes[part[0]]] = int(part[1:])
    return fields
