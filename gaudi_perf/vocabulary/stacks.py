"""The file that lists stacks to measure side by side."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from gaudi_perf.vocabulary.documents import Document, decode_toml, repeated

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_FORM = 'each stack is [[stack]] with name = "..." and python = "..." or command = ["...", "..."]'

StackName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}\Z")]


class StackEntry(Document, frozen=True):
    """A stack: how its workers are started.

    Attributes:
        python: the path of its Python interpreter, relative to the file; or
        command: words that run its Python interpreter, for instance in a container. ``{directory}`` stands for the
            private directory that the worker must see under the same path, ``{environment}`` for a file in it with the
            variables, one ``NAME=VALUE`` a line.
    """

    name: StackName
    python: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    command: Annotated[list[Annotated[str, msgspec.Meta(min_length=1)]], msgspec.Meta(min_length=1)] | None = None
    environment: dict[str, str] = {}

    def __post_init__(self) -> None:
        if (self.python is None) == (self.command is None):
            raise ValueError(f"stack {self.name!r}: give either python or command")
        for name, value in self.environment.items():
            if not _VARIABLE.match(name):
                raise ValueError(f"stack {self.name!r}: environment: {name!r} is no name of a variable")
            if "\0" in value or "\n" in value:
                raise ValueError(f"stack {self.name!r}: environment: {name} has a line break or a zero byte")


class StacksFile(Document, frozen=True):
    """The file: one table a stack."""

    stack: Annotated[list[StackEntry], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        if name := repeated(entry.name for entry in self.stack):
            raise ValueError(f"stack {name!r} is there twice")


def decode_stacks(data: bytes, source: str) -> StacksFile:
    """Decode the file of stacks, which is TOML; ``UserError`` names the source and the field."""
    return decode_toml(data, StacksFile, source, "file of stacks", _FORM)
