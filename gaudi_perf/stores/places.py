"""Where baselines lie: ``<directory>/<device name>/<stack name>.json``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from gaudi_perf.stores.files import failure_sentence
from gaudi_perf.vocabulary.documents import Slug, fits
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.stack import STACK_KINDS, StackKind
from gaudi_perf.vocabulary.versions import parse_version


@dataclass(frozen=True)
class Place:
    """A baseline file, by its name alone.

    Attributes:
        device: the device's name, which is the directory's.
        kind: the kind of the stack, for instance ``synapse``.
        version: the stack's version, for instance ``1.24.0``.
        path: the file.
    """

    device: str
    kind: StackKind
    version: str
    path: Path

    @property
    def stack_name(self) -> str:
        """For instance ``synapse-1.24.0``; the stem of the file."""
        return f"{self.kind}-{self.version}"

    @property
    def label(self) -> str:
        """For instance ``gaudi2/synapse-1.24.0``: how people call this baseline."""
        return f"{self.device}/{self.stack_name}"

    @property
    def order(self) -> Version:
        """The version in comparable form; only versions of one kind have an order."""
        return parse_version(self.version)

    @property
    def sorting_key(self) -> tuple[str, str, Version]:
        """By device, then kind, then version."""
        return (self.device, self.kind, self.order)


def place_of(directory: Path, device: str, stack_name: str) -> Place:
    """The place of a device's baseline on a stack, whether there is a file or not.

    Raises:
        UserError: one of the names cannot be that of a device or a stack.
    """
    check_device_name(device, f"device {device!r}")
    kind, version = parse_stack_name(stack_name, f"stack {stack_name!r}")
    return Place(device, kind, version, directory / device / f"{stack_name}.json")


def parse_stack_name(name: str, source: str) -> tuple[StackKind, str]:
    """Kind and version of a stack's name like ``synapse-1.24.0``.

    Args:
        name: what people wrote, or the stem of a file.
        source: what to call the name in an error.

    Raises:
        UserError: the name has no kind, or no version.
    """
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
    """Refuse what cannot be the name of a device.

    Raises:
        UserError: the name has other characters than those of ``gaudi2`` or ``a100-80gb``.
    """
    if not fits(name, Slug):
        raise UserError(
            f"{source}: not the name of a device: write it like gaudi2 or a100-80gb "
            "(lower-case letters, digits, '.', '_' and '-')"
        )


def places_of_device(directory: Path, device: str) -> list[Place]:
    """The baseline files of a device, by kind and version; empty if it has none.

    Raises:
        UserError: a JSON file there does not have the name of a stack, or the directory cannot be read.
    """
    folder = directory / device
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(failure_sentence(folder, "cannot be read", error, "nothing was compared")) from None
    places = []
    for name in names:
        kind, version = parse_stack_name(name.removesuffix(".json"), str(folder / name))
        places.append(Place(device, kind, version, folder / name))
    return sorted(places, key=lambda place: (*place.sorting_key, place.version))


def device_names(directory: Path) -> list[str]:
    """The devices that have a directory, in alphabetical order; empty if there is no such directory at all.

    Raises:
        UserError: a directory there does not have the name of a device, or it cannot be read.
    """
    try:
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(failure_sentence(directory, "cannot be read", error, "nothing was compared")) from None
    for name in names:
        check_device_name(name, str(directory / name))
    return names
