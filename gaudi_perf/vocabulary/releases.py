"""The file of SynapseAI's releases: what was validated together, and what the nightly measures."""

from __future__ import annotations

import itertools
import re
from typing import Annotated

import msgspec
from packaging.version import Version

from gaudi_perf.vocabulary.baseline import Date, require_day
from gaudi_perf.vocabulary.documents import Document, Name, decode_toml, is_word, repeated
from gaudi_perf.vocabulary.stack import Stack, parse_version, require_version

_FIELDS = ("{synapse}", "{os}", "{pytorch}")
_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+){2}\Z")


class Release(Document, frozen=True):
    """A SynapseAI release like ``1.24.0``, of a day or a month like ``2026-04``; what is not known is empty.

    Attributes:
        pytorch: the PyTorch that its plug-in is built for.
        optimum_habana: the first and the last version that was validated with it.
        os: the system of its container, for instance ``ubuntu24.04``.
        runner: the label of the runners whose driver is of it.
        since: the first day on which the nightly measures it; empty if it never does. ``until`` is the last one.
    """

    synapse: Name
    released: Name
    pytorch: str = ""
    optimum_habana: tuple[Name, Name] | None = None
    os: str = ""
    runner: str = ""
    since: Date | None = None
    until: Date | None = None

    def __post_init__(self) -> None:
        try:
            for version in (self.synapse, self.pytorch or "0", *(self.optimum_habana or ())):
                require_version(version)
            if not _NUMBERS.match(self.synapse):
                raise ValueError("write its three numbers, like 1.24.0")
            if self.optimum_habana is not None and self.version_span[0] > self.version_span[1]:
                raise ValueError("optimum_habana: the first version is newer than the last")
            for name in ("os", "runner"):
                if getattr(self, name) and not is_word(getattr(self, name)):
                    raise ValueError(f"{name} is {getattr(self, name)[:80]!r}: write one word")
            for day in (self.since, self.until):
                if day is not None:
                    require_day(day)
            if self.since is None:
                return
            lacking = [name for name in ("pytorch", "optimum_habana", "os", "runner") if not getattr(self, name)]
            if lacking:
                raise ValueError(f"the nightly measures it since {self.since}, so it needs {', '.join(lacking)}")
            if not _NUMBERS.match(self.pytorch):
                raise ValueError(f"pytorch is {self.pytorch!r}: its container's name has three numbers, like 2.10.0")
            if self.until is not None and self.until < self.since:
                raise ValueError("until is before since")
        except ValueError as error:
            raise ValueError(f"release {self.synapse}: {error}") from None

    @property
    def version_span(self) -> tuple[Version, Version]:
        """The first and the last optimum-habana that was validated with it; only where they are known."""
        assert self.optimum_habana is not None
        first, last = self.optimum_habana
        return parse_version(first), parse_version(last)

    @property
    def requirement(self) -> str:
        """Which optimum-habana goes with it, for pip: ``>=1.21.0,<1.22``."""
        first, last = self.version_span
        return f">={first},<{last.major}.{last.minor + 1}"

    @property
    def environment(self) -> str:
        """The environment of tox: ``synapse124``; a patch release has its third number, too."""
        version = parse_version(self.synapse)
        return f"synapse{version.major}{version.minor}{version.micro or ''}"

    @property
    def stack_name(self) -> str:
        """What its stack is called: ``synapse-1.24.0``."""
        return Stack(kind="synapse", version=self.synapse).name

    def measured_on(self, day: str) -> bool:
        """Whether the nightly measures it on a day like ``2026-01-31``."""
        return self.since is not None and self.since <= day <= (self.until or day)


class ReleasesFile(Document, frozen=True):
    """The file: its releases, oldest first, and what their containers are called, with ``_FIELDS`` to be filled in."""

    container: Name
    release: Annotated[list[Release], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        rest = self.container
        for name in _FIELDS:
            rest = rest.replace(name, "")
        if "{" in rest or "}" in rest or not is_word(self.container):
            raise ValueError(f"container: {self.container!r}: write a name with {', '.join(_FIELDS)}")
        if version := repeated(one.synapse for one in self.release):
            raise ValueError(f"release {version} is there twice")
        for before, one in itertools.pairwise(self.release):
            if parse_version(one.synapse) < parse_version(before.synapse):
                raise ValueError(f"release {one.synapse} stands after a newer one: write the oldest first")

    def image(self, release: Release) -> str:
        """The container of a release."""
        return self.container.format(synapse=release.synapse, os=release.os, pytorch=release.pytorch)

    def measured_on(self, day: str) -> list[Release]:
        """What the nightly measures on a day like ``2026-01-31``, oldest first."""
        return [release for release in self.release if release.measured_on(day)]

    @property
    def in_containers(self) -> list[Release]:
        """Those that the nightly measures on any day: they have a container and an environment of tox."""
        return [release for release in self.release if release.since is not None]


def decode_releases(data: bytes, source: str) -> ReleasesFile:
    """Decode the file of releases, which is TOML; ``UserError`` names the source and the field."""
    return decode_toml(data, ReleasesFile, source, "file of releases")
