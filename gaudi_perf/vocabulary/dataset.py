"""Datasets whose prompts are completed, and what comes out."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from gaudi_perf.vocabulary.configuration import Configuration
from gaudi_perf.vocabulary.documents import Count, Document, Name, PositiveInt, Seconds, TokenId
from gaudi_perf.vocabulary.models import Scale
from gaudi_perf.vocabulary.workload import Dtype

SPLITS = ("test", "validation", "train")
"""The splits that are looked for, in this order, where none is named."""

FileKind = Literal["csv", "json", "parquet", "text"]
FILE_KINDS: dict[str, FileKind] = {
    **{".csv": "csv", ".parquet": "parquet", ".txt": "text", ".text": "text"},
    **{".json": "json", ".jsonl": "json", ".ndjson": "json"},
}
"""What a local file holds, by the end of its name."""

Tokens = Literal["tokenizer", "stand-in"]
"""Where token ids come from: the tokenizer of the weights, or ids made of the words where there is none."""


class Dataset(Document, frozen=True):
    """Where prompts come from.

    Attributes:
        source: a dataset of the hub, or a local CSV, JSON Lines, Parquet or text file.
        configuration: the hub's name for one of several configurations of a dataset; empty for the only one.
        column: empty for the first that holds strings.
        split: empty for the first of ``SPLITS`` that is there.
    """

    source: Annotated[str, msgspec.Meta(min_length=1)]
    configuration: str = ""
    column: str = ""
    split: str = ""

    @property
    def label(self) -> str:
        """How documents name it: a file by its last component only, so that no private path is reported."""
        name = self.source.rstrip("/")
        return name.rsplit("/", 1)[-1] if re.search(r"\.\w+$", name) else name


class CompletionHeader(Document, frozen=True, kw_only=True):
    """The first line of a file of completions: what all of them have in common.

    ``content`` is a digest of the first prompts, so that another file of the same name is not taken for this one.
    """

    schema: Literal["gaudi-perf/completions/1"] = "gaudi-perf/completions/1"
    dataset: Name
    column: Name
    split: Name
    rows: PositiveInt
    content: Name
    configuration: Configuration
    device: Name
    scale: Scale
    weights: Name
    dtype: Dtype
    tokens: Tokens
    prompt_tokens: PositiveInt
    new_tokens: PositiveInt
    batch_size: PositiveInt

    @property
    def batches(self) -> int:
        """How many batches there are; the last may have fewer prompts."""
        return -(-self.rows // self.batch_size)


class Batch(Document, frozen=True):
    """One batch of prompts (cut to their first tokens) and each prompt with its completion.

    It is numbered from 1, its first row from 0; the latency is of the generation, tokenization not included.
    """

    batch: PositiveInt
    first: Count
    latency_s: Seconds
    inputs: list[str]
    outputs: list[str]
    token_ids: list[list[TokenId]]

    def __post_init__(self) -> None:
        if not self.inputs or not len(self.inputs) == len(self.outputs) == len(self.token_ids):
            raise ValueError(f"batch {self.batch} has {len(self.inputs)} inputs and {len(self.outputs)} outputs")
