"""The accelerators, a folder each, found by the entry points of the group ``gaudi_perf.accelerators``.

Another package adds one with a subclass of ``base.Accelerator`` and a line in its pyproject.toml; no file here changes.
Nothing here imports torch.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import getmembers, isabstract, isclass

from gaudi_perf.accelerators.base import Accelerator, Emulation
from gaudi_perf.vocabulary.errors import UserError

GROUP = "gaudi_perf.accelerators"
_ALWAYS_THERE = "cpu"


def accelerator_names() -> list[str]:
    """The names that ``--accelerator`` takes; no accelerator is imported for them."""
    return ["auto", *_entries()]


def accelerator_named(name: str, emulation: Emulation | None = None, processes: int = 1) -> Accelerator:
    """The accelerator of that name; ``auto`` is the preferred one of which this machine has a device.
    Raises UserError if there is none of that name, or the package that has it is broken.
    """
    if name == "auto":
        failures: list[str] = []
        for one in preferred(emulation, processes):
            if one.find() is not None:
                one.passed_over = tuple(failures)
                return one
            failures += filter(None, [one.driver_failure()])
    entries = _entries()
    if name not in entries:
        raise UserError(f"unknown accelerator {name!r}: --accelerator takes {', '.join(accelerator_names())}")
    return _loaded(entries[name])(processes=processes, emulation=emulation)


def preferred(emulation: Emulation | None = None, processes: int = 1) -> list[Accelerator]:
    """Those among which ``auto`` chooses, the most preferred first; the CPU is the last.
    Raises UserError if a package that has one is broken.
    """
    kinds = [kind for entry in _entries().values() if (kind := _loaded(entry)).preference > 0]
    return [kind(processes, emulation) for kind in sorted(kinds, key=lambda kind: -kind.preference)]


def _entries() -> dict[str, EntryPoint]:
    """By name, the project's own first."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if _ALWAYS_THERE not in found:
        # The package lies on the path alone, as for a stack's own interpreter, or was installed before it had these.
        found = {entry.name: entry for entry in _own_entries()} | found
    return dict(sorted(found.items(), key=lambda item: not item[1].value.startswith(f"{__name__}.")))


def _own_entries() -> Iterator[EntryPoint]:
    """What pyproject.toml lists, read off the folders here."""
    for folder in pkgutil.iter_modules(__path__):
        if folder.ispkg:
            module = import_module(f"{__name__}.{folder.name}.accelerator")
            for attribute, kind in getmembers(module, isclass):
                if kind.__module__ == module.__name__ and issubclass(kind, Accelerator) and not isabstract(kind):
                    yield EntryPoint(kind.name, f"{module.__name__}:{attribute}", GROUP)


def _loaded(entry: EntryPoint) -> type[Accelerator]:
    try:
        kind = entry.load()
    except Exception as error:  # whatever the import of somebody's package raises
        reason = f"cannot be imported ({type(error).__name__}: {error})"
    else:
        if isclass(kind) and issubclass(kind, Accelerator) and kind.name == entry.name:
            return kind
        reason = f"is no gaudi_perf.accelerators.base.Accelerator with the name {entry.name!r}"
    package = entry.dist.name if entry.dist is not None else "its package"
    raise UserError(f"--accelerator {entry.name}: {entry.value} of {package} {reason}: mend or uninstall {package}")
