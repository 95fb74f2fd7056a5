"""Differences between stacks, each pair once."""

from __future__ import annotations

from gaudi_perf.reports.page.data import Environment
from gaudi_perf.reports.text import harmless
from gaudi_perf.vocabulary.stack import Stack

_LONGEST = 300


class Environments:
    """Collects pairs of stacks; cases refer to them by index."""

    def __init__(self) -> None:
        self.all: list[Environment] = []
        self._known: dict[tuple[object, ...], int] = {}

    def index(self, before: Stack, now: Stack) -> int:
        """The place of the differences between two stacks, which are added if they are new."""
        key = (_identity(before), _identity(now))
        if key not in self._known:
            self._known[key] = len(self.all)
            self.all.append(_difference(before, now))
        return self._known[key]


def _identity(stack: Stack) -> tuple[object, ...]:
    return (stack.name, *sorted(stack.components.items()), None, *sorted(stack.settings.items()))


def _difference(before: Stack, now: Stack) -> Environment:
    old, new = _everything(before), _everything(now)
    names = sorted(old.keys() | new.keys())
    return Environment(
        before=harmless(before.name, _LONGEST),
        now=harmless(now.name, _LONGEST),
        changed=[
            (harmless(name, _LONGEST), old.get(name, "none"), new.get(name, "none"))
            for name in names
            if old.get(name) != new.get(name)
        ],
        same=[(harmless(name, _LONGEST), old[name]) for name in names if old.get(name) == new.get(name)],
    )


def _everything(stack: Stack) -> dict[str, str]:
    found = {stack.kind: stack.version, **stack.components}
    found.update({f"setting {name}": value for name, value in stack.settings.items()})
    return {name: harmless(value, _LONGEST) for name, value in found.items()}
