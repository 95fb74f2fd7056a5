"""The prompts of a dataset, as text and as token ids. Runs in the worker; the controller imports none of this."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gaudi_perf.protocol import GroupSpec
from gaudi_perf.stores.prompt_files import column_kinds, is_local, read_file, require_library, texts
from gaudi_perf.vocabulary.dataset import SPLITS, Dataset, Tokens
from gaudi_perf.vocabulary.documents import sentence
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.workload import first_own_id

_LOOKED_AT = 64


class PromptSource:
    """A column of a split of a dataset, and a way to turn it into tokens and back."""

    def __init__(self, dataset: Dataset, prompt_tokens: int, group: GroupSpec) -> None:
        """Reads the dataset. Prompts are cut to ``prompt_tokens``; for dummy weights ids are made of words.
        Raises UserError if the dataset, split, column or tokenizer is not there.
        """
        self._prompt_tokens = prompt_tokens
        self._vocabulary = group.built.vocabulary
        self._tokenizer: Any = None
        if group.weights.kind != "dummy":
            from gaudi_perf.generation.weights import load_tokenizer  # which imports transformers

            self._tokenizer = load_tokenizer(group)
        option = f"--dataset {dataset.source}"
        if is_local(dataset.source):
            frame = read_file(Path(dataset.source), option)
            self.split = _split(dataset, ["train"])
            self.column = _column(dataset, self.split, column_kinds(frame))
            self._rows: Sequence[Any] = texts(frame, self.column)
        else:
            splits = _of_hub(dataset, option)
            self.split = _split(dataset, [str(name) for name in splits])
            features = splits[self.split].features.items()
            kinds = {str(name): str(getattr(feature, "dtype", feature)) for name, feature in features}
            self.column = _column(dataset, self.split, kinds)
            self._rows = splits[self.split][self.column]  # of which slices are read
        if not len(self._rows):
            raise UserError(f"{option}: split {self.split!r} has no rows: name another with --split")

    def __len__(self) -> int:
        """How many prompts there are."""
        return len(self._rows)

    @property
    def tokens(self) -> Tokens:
        """Where token ids come from."""
        return "stand-in" if self._tokenizer is None else "tokenizer"

    @property
    def content(self) -> str:
        """A digest of the first prompts."""
        return hashlib.sha256("\0".join(self._texts(0, _LOOKED_AT)).encode()).hexdigest()[:16]

    def prompts(self, first: int, count: int) -> tuple[list[list[int]], list[str]]:
        """Token ids and texts of some prompts, cut; an empty one is BLOOM's token for a beginning."""
        texts = self._texts(first, count)
        ids = [self._encode(text) for text in texts]
        if self._tokenizer is None:
            return ids, [" ".join(self._words(text)) for text in texts]
        return ids, self.texts(ids)

    def texts(self, token_ids: Sequence[Sequence[int]]) -> list[str]:
        """Tokens as text; stand-in ids cannot be turned back, and are shown as numbers."""
        if self._tokenizer is None:
            return [" ".join(f"<{number}>" for number in ids) for ids in token_ids]
        return [str(self._tokenizer.decode(list(ids), skip_special_tokens=True)) for ids in token_ids]

    def _texts(self, first: int, count: int) -> list[str]:
        return ["" if value is None else str(value) for value in self._rows[first : first + count]]

    def _encode(self, text: str) -> list[int]:
        if self._tokenizer is not None:
            ids = list(self._tokenizer(text, truncation=True, max_length=self._prompt_tokens)["input_ids"])
        else:
            first = first_own_id(self._vocabulary)
            room = self._vocabulary - first
            ids = [first + zlib.crc32(word.encode()) % room for word in self._words(text)]
        return ids or [1]

    def _words(self, text: str) -> list[str]:
        return text.split(maxsplit=self._prompt_tokens)[: self._prompt_tokens]


def _of_hub(dataset: Dataset, option: str) -> Any:
    """Every split, by name."""
    require_library(option)
    import datasets

    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(dataset.source, dataset.configuration or None)
    except Exception as error:  # of the library's, of its HTTP client's, of the disk's
        raise UserError(f"{option}: cannot be read ({sentence(error)}): {_remedy(error)}") from None


def _remedy(error: Exception) -> str:
    """What helps where the hub does not give a dataset."""
    import datasets

    if isinstance(error, datasets.exceptions.DatasetNotFoundError):
        return "is its name right, and may this account read it (hf auth login)? Name a local file otherwise"
    if isinstance(error, ConnectionError) and datasets.config.HF_HUB_OFFLINE:
        return "the cache does not hold it, and HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set: have it fetched once"
    if isinstance(error, ConnectionError):
        return (
            "the cache does not hold it, and the hub is out of reach: is there a network? Name a local file otherwise"
        )
    return "is it a dataset of the hub, with this configuration? Name another, or a local file"


def _split(dataset: Dataset, splits: list[str]) -> str:
    split = dataset.split or next((name for name in SPLITS if name in splits), splits[0])
    if split not in splits:
        raise UserError(f"--split {split}: {dataset.source} has the splits {', '.join(splits)}")
    return split


def _column(dataset: Dataset, split: str, kinds: dict[str, str]) -> str:
    there = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    if dataset.column:
        if dataset.column not in kinds:
            raise UserError(f"--column {dataset.column}: {dataset.source} has in its split {split!r} {there}")
        if "string" not in kinds[dataset.column]:
            raise UserError(f"--column {dataset.column}: holds {kinds[dataset.column]}, not strings")
        return dataset.column
    for name, kind in kinds.items():
        if kind in ("string", "large_string"):
            return name
    raise UserError(f"--dataset {dataset.source}: no column of split {split!r} holds strings; there are {there}")
