"""The prompts of a dataset, as text and as token ids. Runs in the worker; the controller imports none of this."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.dataset import SPLITS, Dataset, Tokens
from gaudi_perf.vocabulary.errors import UserError

_KINDS = {
    **{".csv": "csv", ".parquet": "parquet", ".txt": "text", ".text": "text"},
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
}
_FIRST_OWN_ID = 4  # below are BLOOM's special tokens
_LOOKED_AT = 64


class PromptSource:
    """A column of a split of a dataset, and a way to turn it into tokens and back."""

    def __init__(self, dataset: Dataset, prompt_tokens: int, group: GroupSpec, cache: str) -> None:
        """Reads the dataset. Prompts are cut to ``prompt_tokens``.

        Dummy weights have no tokenizer: ids are made of the words. ``cache`` is a private directory for what is made of
        a local file.

        Raises:
            UserError: the dataset, split, column or tokenizer is not there.
        """
        self._prompt_tokens = prompt_tokens
        self._vocabulary = group.built.vocabulary
        self._tokenizer: Any = None
        if group.weights.kind != "dummy":
            from gaudi_perf.generation.weights import load_tokenizer  # which imports transformers

            self._tokenizer = load_tokenizer(group)
        splits = _read(dataset, cache)
        self.split = str(dataset.split or next((name for name in SPLITS if name in splits), next(iter(splits))))
        if self.split not in splits:
            raise UserError(f"--split {dataset.split}: {dataset.source} has the splits {', '.join(splits)}")
        rows = splits[self.split]
        self.column = _column(dataset, self.split, rows)
        self._rows = rows.select_columns([self.column])
        if not len(self._rows):
            raise UserError(f"--dataset {dataset.source}: split {self.split!r} has no rows: name another with --split")

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
        values: list[Any] = self._rows[first : first + count][self.column]
        return ["" if value is None else str(value) for value in values]

    def _encode(self, text: str) -> list[int]:
        if self._tokenizer is not None:
            ids = list(self._tokenizer(text, truncation=True, max_length=self._prompt_tokens)["input_ids"])
        else:
            room = self._vocabulary - _FIRST_OWN_ID
            ids = [_FIRST_OWN_ID + zlib.crc32(word.encode()) % room for word in self._words(text)]
        return ids or [1]

    def _words(self, text: str) -> list[str]:
        return text.split(maxsplit=self._prompt_tokens)[: self._prompt_tokens]


def _read(dataset: Dataset, cache: str) -> Any:
    """Every split, by name."""
    try:
        import datasets
    except ImportError:
        raise UserError(
            'datasets are read by the library datasets, which is not installed: pip install "gaudi-perf[datasets]"'
        ) from None
    datasets.disable_progress_bars()
    path = Path(dataset.source)
    kind = _KINDS.get(path.suffix.lower())
    try:
        if path.is_file():
            if kind is None:
                raise UserError(f"--dataset {dataset.source}: is no {', '.join(sorted(_KINDS))} file")
            return datasets.load_dataset(kind, data_files=str(path), cache_dir=cache)
        if kind is not None or path.is_absolute():
            raise UserError(f"--dataset {dataset.source}: there is no such file")
        return datasets.load_dataset(dataset.source, dataset.configuration or None)
    except UserError:
        raise
    except Exception as error:  # whatever a reader of foreign files raises
        line = " ".join(str(error).split())[:300] or type(error).__name__
        remedy = "is it whole, and of the kind that its name says?" if path.is_file() else _remedy(error)
        raise UserError(f"--dataset {dataset.source}: cannot be read ({line}): {remedy}") from None


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


def _column(dataset: Dataset, split: str, rows: Any) -> str:
    kinds: dict[str, str] = {name: str(getattr(feature, "dtype", feature)) for name, feature in rows.features.items()}
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
