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
    changed, same = [], []
    for old, new in (
        ({before.kind: before.version}, {now.kind: now.version}),
        (before.components, now.components),
        (before.settings, now.settings),
    ):
        for name in sorted(old.keys() | new.keys()):
            one, other, shown = old.get(name, "none"), new.get(name, "none"), harmless(name, _LONGEST)
            if old.get(name) == new.get(name):
                same.append((shown, harmless(one, _LONGEST)))
            else:
                changed.append((shown, harmless(one, _LONGEST), harmless(other, _LONGEST)))
    return Environment(
        before=harmless(before.name, _LONGEST), now=harmless(now.name, _LONGEST), changed=changed, same=same
    )
