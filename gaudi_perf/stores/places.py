"""Where baselines lie: ``<directory>/<device name>/<stack name>.json``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from gaudi_perf.stores.files import directories, failure_sentence
from gaudi_perf.vocabulary.documents import Slug, fits
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.stack import STACK_KINDS, StackKind, parse_version


@dataclass(frozen=True)
class Place:
    """A baseline file, by its name alone."""

    device: str
    kind: StackKind
    version: str
    path: Path

    @property
    def stack_name(self) -> str:
        """For instance ``synapse-1.24.0``; the stem of the file."""
        return self.path.stem

    @property
    def label(self) -> str:
        """For instance ``gaudi2/synapse-1.24.0``: how people call this baseline."""
        return f"{self.device}/{self.stack_name}"

    @property
    def order(self) -> Version:
        """The version in comparable form; only versions of one kind have an order."""
        return parse_version(self.version)


def place_of(directory: Path, device: str, stack_name: str) -> Place:
    """The place of a device's baseline on a stack, there or not; ``UserError`` if the names cannot be such ones."""
    check_device_name(device, f"device {device!r}")
    kind, version = parse_stack_name(stack_name, f"stack {stack_name!r}")
    return Place(device, kind, version, directory / device / f"{stack_name}.json")


def parse_stack_name(name: str, source: str) -> tuple[StackKind, str]:
    """Kind and version of a stack's name like ``synapse-1.24.0``; a ``UserError`` starts with ``source``."""
    kind, dash, version = name.partition("-")
    if not fits(kind, StackKind) or not dash or "/" in version:
        raise UserError(
            f"{source}: not the name of a stack: write kind and version like synapse-1.24.0; "
            f"the kinds are {', '.join(STACK_KINDS)}"
        )
    try:
        parse_version(version)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    return kind, version


def check_device_name(name: str, source: str) -> None:
    """Refuse what cannot be the name of a device; the ``UserError`` starts with ``source``."""
    if not fits(name, Slug):
        raise UserError(
            f"{source}: not the name of a device: write it like gaudi2 or a100-80gb "
            "(lower-case letters, digits, '.', '_' and '-')"
        )


def places_of_device(directory: Path, device: str) -> list[Place]:
    """The baseline files of a device, by kind and version; empty if it has none.
    Raises UserError if a JSON file there does not have the name of a stack, or the directory cannot be read.
    """
    folder = directory / device
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(failure_sentence(folder, "cannot be read", error, "nothing was compared")) from None
    kinds = {name: parse_stack_name(name.removesuffix(".json"), str(folder / name)) for name in names}
    places = [Place(device, kind, version, folder / name) for name, (kind, version) in kinds.items()]
    return sorted(places, key=lambda place: (place.kind, place.order, place.version))


def device_names(directory: Path) -> list[str]:
    """The devices that have a directory, in alphabetical order; empty if there is no such directory at all.
    Raises UserError if a directory there does not have the name of a device, or it cannot be read.
    """
    names = [name for name in directories(directory, "nothing was compared") if not name.startswith(".")]
    for name in names:
        check_device_name(name, str(directory / name))
    return names


def all_places(directory: Path) -> list[Place]:
    """All baseline files, by device, kind and version; errors as of ``device_names`` and ``places_of_device``."""
    return [place for device in device_names(directory) for place in places_of_device(directory, device)]


def baselines_named(directory: Path, text: str, source: str) -> list[Place] | Path:
    """The baselines of a name that people wrote (a version, a stack, a device and a stack), on any device, or a results
    directory; a baseline goes before a directory.
    Raises UserError, which starts with ``source``, if there is nothing of this name; the sentence says what there is.
    """
    found = _named(directory, text, source)
    if found:
        return found
    if os.path.exists(text):
        return Path(text)
    if found is None:
        raise UserError(
            f"{source}: there is no such results directory, and no such baseline: write a version (1.22.0), a stack "
            "(synapse-1.22.0), a device and a stack (gaudi2/synapse-1.22.0), or a results directory (./results)"
        )
    there = ", ".join(place.label for place in all_places(directory)) or "none"
    raise UserError(f"{source}: there is no such baseline in {directory}; there are: {there}")


def _named(directory: Path, text: str, source: str) -> list[Place] | None:
    """The baselines of that name; None if it is written like none."""
    device, slash, stack_name = text.partition("/")
    if slash:
        there = "/" not in stack_name and os.path.lexists(directory / device / f"{stack_name}.json")
        return [place_of(directory, device, stack_name)] if there else None
    kind, version = parse_stack_name(text, source) if text.partition("-")[0] in STACK_KINDS else (None, text)
    try:
        order = parse_version(version)
    except UserError:
        return None
    same = [place for place in all_places(directory) if place.order == order and kind in (None, place.kind)]
    return sorted(same, key=lambda place: (place.version != version, place.version))  # 1.8 may stand beside 1.8.0
