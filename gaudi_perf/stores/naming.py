"""What people name a baseline by: a version, a stack, a device and a stack, or a results directory."""

from __future__ import annotations

import os
from pathlib import Path

from gaudi_perf.stores.places import Place, device_names, parse_stack_name, place_of, places_of_device
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.stack import STACK_KINDS, StackKind
from gaudi_perf.vocabulary.versions import parse_version

FORMS = (
    "write a version (1.22.0), a stack (synapse-1.22.0), a device and a stack (gaudi2/synapse-1.22.0), or a results "
    "directory (./results)"
)


def baselines_named(directory: Path, text: str, source: str) -> list[Place] | Path:
    """The baselines of that name, on any device, or a results directory; a baseline goes before a directory.

    Args:
        directory: where the baselines lie.
        text: what people wrote.
        source: what to call it in an error, for instance ``--against 1.22.0``.

    Raises:
        UserError: there is nothing of this name; the sentence says what there is.
    """
    found = _baselines(directory, text, source)
    if found:
        return found
    if os.path.exists(text):
        return Path(text)
    if found is None:
        raise UserError(f"{source}: there is no such results directory, and no such baseline: {FORMS}")
    places = [place for device in device_names(directory) for place in places_of_device(directory, device)]
    there = ", ".join(place.label for place in places) or "none"
    raise UserError(f"{source}: there is no such baseline in {directory}; there are: {there}")


def _baselines(directory: Path, text: str, source: str) -> list[Place] | None:
    """The baselines of that name; None if it is written like none."""
    device, slash, stack_name = text.partition("/")
    if slash:
        if "/" in stack_name or not (directory / device / f"{stack_name}.json").is_file():
            return None
        return [place_of(directory, device, stack_name)]
    kind: StackKind | None = None
    version = text
    if text.partition("-")[0] in STACK_KINDS:
        kind, version = parse_stack_name(text, source)
    try:
        order = parse_version(version)
    except UserError:
        return None
    places = [place for device in device_names(directory) for place in places_of_device(directory, device)]
    same = [place for place in places if place.order == order and kind in (None, place.kind)]
    return sorted(same, key=lambda place: (place.version != version, place.version))  # 1.8 may stand beside 1.8.0
