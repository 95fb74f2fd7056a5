"""Catalogues of models, and the configurations of checkpoints: files that others wrote, read within bounds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from gaudi_perf.stores.files import read_bytes
from gaudi_perf.vocabulary.documents import decode, object_of, sentence
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.families import LARGEST_CONFIG
from gaudi_perf.vocabulary.models import Model, ModelEntry, decode_catalogue, shipped

FILE = "models.toml"
"""A project's catalogue."""
_CONFIG = "config.json"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_HUB_SECONDS = 30.0


class Catalogue:
    """The models that have a name here: the suite's, and those of a project's ``models.toml``."""

    def __init__(self, project: Path | None = None) -> None:
        """``project``: the directory in which ``models.toml`` may be; ``UserError`` if the file is malformed."""
        self._file = (project or Path()) / FILE
        self._entries: Mapping[str, ModelEntry] = {}
        self._found: dict[str, Model] = {}
        if project is not None and self._file.is_file():
            self._entries = decode_catalogue(read_bytes(self._file, LARGEST_CONFIG), str(self._file))

    @property
    def names(self) -> list[str]:
        """All names."""
        return [*shipped(), *(name for name in self._entries if name not in shipped())]

    def model(self, text: str, option: str = "--model") -> Model:
        """The model of a name, of a checkpoint's directory, or of a repository on the hub (``owner/name``).

        What is neither in the catalogue nor in a directory is read from the hub's cache, or from the hub. A model that
        was found has a name from then on.
        Raises UserError, which begins with the option, if there is none, its configuration makes no sense, or another
        one has its name.
        """
        if text in self._found:
            return self._found[text]
        if text in self._entries:
            model = self._of_entry(text, self._entries[text], option)
        else:
            model = shipped().get(text) or self._of_nobody(text, option)
            if model.name != text and model.name in self.names:
                self.model(model.name, option)  # whose name it is
        if self._found.setdefault(model.name, model) != model:
            remedy = f"write it into {FILE} under another name"
            raise UserError(f"{option} {text}: another model is called {model.name}: {remedy}")
        return model

    def _of_nobody(self, text: str, option: str) -> Model:
        """A model that is in no catalogue."""
        directory = Path(text).expanduser()
        if directory.is_dir():
            fields = checkpoint_fields(directory, f"{option} {text}")
            return ModelEntry().model(named(directory.resolve().name), str(directory / _CONFIG), fields)
        if _REPOSITORY.fullmatch(text):
            known = next((model for model in shipped().values() if model.hub_id == text), None)
            source = f"{option} {text}: {_CONFIG}"
            return known or ModelEntry(title=text, hub=text).model(named(text), source, hub_fields(text, option))
        raise UserError(
            f"{option} {text}: is no model: name one of {', '.join(self.names)}, a directory with {_CONFIG}, or a "
            "repository of the hub (owner/name)"
        )

    def _of_entry(self, name: str, entry: ModelEntry, option: str) -> Model:
        source = f"{self._file}: [{name}]"
        if entry.configuration is not None:
            return entry.model(name, source)
        if entry.directory:
            directory = self._file.parent / Path(entry.directory).expanduser()
            return entry.model(name, source, checkpoint_fields(directory, f"{source}: directory"))
        if _REPOSITORY.fullmatch(entry.hub):
            return entry.model(name, source, hub_fields(entry.hub, option))
        raise UserError(f"{source}: has no configuration: add hub, directory or [{name}.configuration]")


def checkpoint_fields(directory: Path, source: str) -> object:
    """What the config.json of a checkpoint's directory holds; ``UserError`` if it is not there or no JSON."""
    path = directory / _CONFIG
    if not path.is_file():
        raise UserError(f"{source}: has no {_CONFIG}: name a directory as the hub's repositories are")
    try:
        return json.loads(read_bytes(path, LARGEST_CONFIG), object_pairs_hook=object_of)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{source}: its {_CONFIG} cannot be read ({error}): name a directory as the hub's repositories are"
        ) from None


class _Index(msgspec.Struct):
    weight_map: dict[str, Annotated[str, msgspec.Meta(max_length=200)]]


def checkpoint_files(directory: Path, title: str) -> list[Path]:
    """The files of weights of a checkpoint's directory (in sentences, ``title``): those of its index, if it has one.
    Raises UserError if the index cannot be read, or a file is missing.
    """
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(directory.glob("*.safetensors"))
    names = sorted(set(decode(read_bytes(index), _Index, f"--weights: {index.name} of {title}").weight_map.values()))
    paths = [directory / Path(name).name for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise UserError(f"--weights: {title} lacks {missing[0]!r} and {len(missing) - 1} more of its files")
    return paths


_INSTEAD = "name a directory, or write its configuration into models.toml"


def hub_fields(repository: str, option: str, instead: str = _INSTEAD) -> object:
    """The same of a repository on the hub, from its cache if it is there; ``instead`` needs no hub."""
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(repository, _CONFIG, etag_timeout=_HUB_SECONDS)
    except Exception as error:  # of the hub's, of its HTTP client's, of the disk's
        raise UserError(
            f"{option} {repository}: its {_CONFIG} cannot be fetched ({sentence(error)}): is the hub reachable, or "
            f"HF_HUB_OFFLINE set, and may this account read it? Else {instead}"
        ) from None
    return checkpoint_fields(Path(path).parent, f"{option} {repository}")


def hub_name(repository: str) -> str:
    """What a model of the hub is called: by the suite's catalogue, or else by ``named``. Old ids have no owner."""
    known = (one for one in shipped().values() if repository in (one.hub_id, one.hub_id.rpartition("/")[2]))
    return next((one.name for one in known), named(repository))


def named(text: str) -> str:
    """A name for case ids: the last component, in lower case, of letters, digits, ``.``, ``_`` and ``-``."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.rsplit("/", 1)[-1].lower()).strip("._-")[:80]
    return name or "model"
