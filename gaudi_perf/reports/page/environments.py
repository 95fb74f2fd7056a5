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
        self._known: dict[str, int] = {}

    def index(self, before: Stack, now: Stack) -> int:
        """The place of the differences between two stacks, which are added if they are new."""
        key = repr((before, now))
        if key not in self._known:
            self._known[key] = len(self.all)
            self.all.append(_difference(before, now))
        return self._known[key]


def _difference(before: Stack, now: Stack) -> Environment:
    kinds = ({before.kind: before.version}, {now.kind: now.version})
    changed, same = [], []
    for old, new in (kinds, (before.components, now.components), (before.settings, now.settings)):
        for name in sorted(old.keys() | new.keys()):
            shown, one, other = (
                harmless(text, _LONGEST) for text in (name, old.get(name, "none"), new.get(name, "none"))
            )
            if old.get(name) == new.get(name):
                same.append((shown, one))
            else:
                changed.append((shown, one, other))
    names = (harmless(stack.name, _LONGEST) for stack in (before, now))
    return Environment(before=next(names), now=next(names), changed=changed, same=same)
