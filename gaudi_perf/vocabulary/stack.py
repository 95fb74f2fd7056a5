"""What a result depends on: the device, the stack of software, the host."""

from __future__ import annotations

from typing import Annotated

import msgspec
from packaging.version import InvalidVersion, Version

from gaudi_perf.vocabulary.configuration import Accelerator
from gaudi_perf.vocabulary.documents import Bytes, Document, Name, PositiveInt, Slug
from gaudi_perf.vocabulary.errors import UserError

StackKind = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z")]
"""The part of a stack's name before the first ``-``."""
STACK_KINDS: tuple[StackKind, ...] = ("synapse", "cuda", "torch", "deepspeed")
"""Those of the suite's own accelerators, and of published numbers; an accelerator of another package has its own."""

_LONGEST_VERSION = 100


def parse_version(text: str) -> Version:
    """A stack's version by PEP 440's order: ``1.8.0`` < ``1.10.0``, and ``1.9.0-preview`` comes before ``1.9.0``.
    Raises UserError if the text is no version.
    """
    try:
        if text != text.strip() or len(text) > _LONGEST_VERSION:
            raise InvalidVersion(text)  # packaging would forgive it, but a version is also part of a file's name
        return Version(text)
    except ValueError:  # InvalidVersion is one; a number of thousands of digits is another
        raise UserError(f"{text[:80]!r} is not a version: write it like 1.24.0 or 1.9.0-preview") from None


def require_version(text: str) -> None:
    """Raise ValueError where a document's version has no place in the order."""
    try:
        parse_version(text)
    except UserError as error:
        raise ValueError(str(error)) from None


class Device(Document, frozen=True):
    """The kind of device that a case was measured on; memory of one, and how many the machine has, where known.

    The name is for instance ``gaudi2``, ``a100-80gb``, ``cpu``, and starts with ``emulated-`` for an emulated Gaudi.
    """

    name: Slug
    accelerator: Accelerator
    memory_bytes: Bytes | None = None
    available: PositiveInt | None = None

    @property
    def emulated(self) -> bool:
        """Whether this is the emulated Gaudi, whose results are never compared with those of real devices."""
        return self.name.startswith("emulated-")


class Stack(Document, frozen=True):
    """Versions that the result depends on.

    Attributes:
        kind: whose version orders baselines: SynapseAI on Gaudi, CUDA or DeepSpeed on GPUs, PyTorch on the CPU.
        components: every other version: driver, firmware, pytorch, optimum-habana, ...
        settings: effective values of the settings that the latency depends on.
        mismatches: what does not go together in it, by what its makers validated, each with its remedy.
    """

    kind: StackKind
    version: Name
    components: dict[str, str] = {}
    settings: dict[str, str] = {}
    mismatches: list[str] = []

    def __post_init__(self) -> None:
        require_version(self.version)
        if "/" in self.version:
            raise ValueError(f"the stack's version {self.version!r} contains '/'")

    @property
    def name(self) -> str:
        """Kind and version, for instance ``synapse-1.24.0``; the stem of its baseline file."""
        return f"{self.kind}-{self.version}"

    @property
    def order(self) -> Version:
        """The version in comparable form."""
        return parse_version(self.version)


def stack_changes(old: Stack, new: Stack) -> list[str]:
    """What differs between two stacks, as ``synapse 1.23.0 -> 1.24.0``; empty if nothing does."""
    version = [f"{old.kind} {old.version} -> {new.version}"] if old.name != new.name else []
    return version + component_changes(old, new)


def component_changes(old: Stack, new: Stack) -> list[str]:
    """Components and settings that differ, as ``pytorch 2.9.0 -> 2.10.0``."""
    return [
        f"{name} {before.get(name, 'none')} -> {after.get(name, 'none')}"
        for before, after in ((old.components, new.components), (old.settings, new.settings))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


UNKNOWN_CPU = "unknown"
"""The processor of a host of which nothing is known, as of imported numbers."""


class Host(Document, frozen=True):
    """The machine around the devices, as it was during the measurement; None where the system does not report it.

    Attributes:
        cores: logical cores that this process may use.
        load: load average over one minute when the measurement began.
        steal_percent: share of the time that the hypervisor gave to others during the measurement.
        hosts: over how many hosts like this one the ranks were spread.
    """

    cpu: Name
    cores: PositiveInt
    memory_bytes: Bytes
    governor: str | None = None
    load: float | None = None
    steal_percent: float | None = None
    hosts: PositiveInt = 1

    @property
    def host_class(self) -> str:
        """What must be equal for hosts to be comparable: processor, cores, how many hosts; empty if not known."""
        if self.cpu == UNKNOWN_CPU:
            return ""
        one = f"{self.cpu}, {self.cores} cores"
        return one if self.hosts == 1 else f"{self.hosts} hosts of {one}"
