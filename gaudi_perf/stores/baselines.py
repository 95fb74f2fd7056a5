"""The baselines of a directory: list, read, check and write."""

from __future__ import annotations

import contextlib
import difflib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from gaudi_perf.stores.files import exclusive, make_directory, read_bytes, remove_leftovers, write_atomic
from gaudi_perf.stores.places import Place, all_places, device_names, place_of, places_of_device
from gaudi_perf.stores.remote import publish
from gaudi_perf.stores.results import read_runs
from gaudi_perf.stores.waivers import WAIVERS_FILE
from gaudi_perf.vocabulary.baseline import Baseline, decode_baseline, encode_baseline
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.models import shipped


class BaselineStore:
    """A directory of baselines: ``<directory>/<device name>/<stack name>.json``."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.read_results = functools.cache(read_runs)  # a session asks once a case

    def list(self) -> list[Place]:
        """All baseline files, by device, kind and version; see ``all_places``. Only names are read, so it is fast."""
        return all_places(self.directory)

    def read(self, device: str, stack_name: str) -> Baseline:
        """Read the baseline of a device on a stack, for instance ``synapse-1.24.0`` on ``gaudi2``.
        Raises UserError if there is none (the sentence says what there is), or its file is malformed.
        """
        place = place_of(self.directory, device, stack_name)
        if os.path.lexists(place.path):  # what is no file is called that when it is read
            return self.load(place)
        devices = device_names(self.directory)
        if device not in devices:
            raise UserError(_unknown("device", device, devices, self.directory))
        stacks = [other.stack_name for other in places_of_device(self.directory, device)]
        raise UserError(_unknown("stack", stack_name, stacks, self.directory / device))

    def load(self, place: Place) -> Baseline:
        """Read a baseline file, and check that it is what its place says; ``UserError`` if it is not, or malformed."""
        return _checked(decode_baseline(read_bytes(place.path), str(place.path)), place)

    def problems(self) -> Iterator[str]:
        """Everything that is wrong with any file, a sentence each; nothing is hidden by the first one."""
        try:
            devices = device_names(self.directory)
        except UserError as error:
            yield str(error)
            return
        for path in sorted(self.directory.glob("*.json")):
            if path.name != WAIVERS_FILE:
                remedy = "baselines lie in a directory of their device, as gaudi2/synapse-1.24.0.json"
                yield f"{path}: nothing reads it here: {remedy}"
        for device in devices:
            try:
                places = places_of_device(self.directory, device)
            except UserError as error:
                yield str(error)
                continue
            for place in places:
                try:
                    cases = self.load(place).cases
                except UserError as error:
                    yield str(error)
                    continue
                named = {one.case.configuration.model for one in cases if not one.case.architecture}
                for model in sorted(named - shipped().keys()):
                    yield f"{place.path}: this suite has no model {model!r}: nothing is compared with its cases"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers out while baselines are read, merged and written; clear up after killed ones.
        Raises UserError if the directory cannot be locked, or another process holds it for too long.
        """
        with exclusive(self.directory):
            for device in device_names(self.directory):
                remove_leftovers(self.directory / device)
            yield

    def write(self, baseline: Baseline) -> Place:
        """Put a baseline in its place, whole. Who merges with what is there holds the lock.
        Raises UserError if it holds what no reader accepts, or cannot be written; the old file is kept.
        """
        place = place_of(self.directory, baseline.device.name, baseline.stack.name)
        data = encode_baseline(baseline)
        _checked(decode_baseline(data, str(place.path)), place)  # what is stored can be read
        make_directory(place.path.parent)
        write_atomic(place.path, data)
        publish(self.directory, place.path)
        return place


def _checked(baseline: Baseline, place: Place) -> Baseline:
    if baseline.device.name != place.device:
        raise UserError(
            f"{place.path}: device.name is {baseline.device.name!r}, but the file lies in {place.device!r}: "
            "move the file, or mend the field"
        )
    if baseline.stack.name != place.stack_name:
        raise UserError(
            f"{place.path}: stack is {baseline.stack.name!r} by its kind and version, but the file is called "
            f"{place.stack_name!r}: rename the file, or mend the fields"
        )
    return baseline


def _unknown(what: str, name: str, there: list[str], directory: Path) -> str:
    close = difflib.get_close_matches(name, there, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{directory}: there is no baseline of {what} {name!r}; there are: {', '.join(there) or 'none'}{hint}"
