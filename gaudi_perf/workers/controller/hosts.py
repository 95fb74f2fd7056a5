"""Hosts: a hostfile in DeepSpeed's format, and which of its devices a group uses."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from gaudi_perf.accelerators.base import Found
from gaudi_perf.stores.files import read_bytes
from gaudi_perf.vocabulary.errors import UserError

_LINE = re.compile(
    r"(?P<name>(?:[A-Za-z_][\w.-]*@)?[A-Za-z0-9][\w.:-]*)\s+slots=(?P<slots>[1-9][0-9]{0,3})"
    r"(?:\s+max_slots=[1-9][0-9]{0,3})?\s*(?:#.*)?\Z"
)
"""As DeepSpeed reads it; ``max_slots`` is Open MPI's, and says nothing here."""
LAUNCHERS = ("pdsh", "openmpi", "mpich", "impi", "slurm", "mvapich")
"""DeepSpeed's ways of starting processes on several hosts."""


@dataclass(frozen=True)
class Host:
    """A host, perhaps with the user to log in as (``root@10.0.0.1``), and how many of its devices may be used."""

    name: str
    slots: int

    @property
    def address(self) -> str:
        """Its name or address without the user."""
        return self.name.rpartition("@")[2]


@dataclass(frozen=True)
class Hosts:
    """Where the devices of a group are: on hosts in order of their ranks, of which pytest runs on the first."""

    hosts: tuple[Host, ...]
    launcher: str = "pdsh"

    @property
    def devices(self) -> int:
        """All of them."""
        return sum(host.slots for host in self.hosts)

    def for_devices(self, count: int) -> tuple[Host, ...]:
        """The first hosts that have so many devices together, the last with those that are still needed."""
        before = accumulate((host.slots for host in self.hosts), initial=0)
        left = [(host, count - there) for host, there in zip(self.hosts, before, strict=False) if there < count]
        return tuple(Host(host.name, min(host.slots, needed)) for host, needed in left)


def read_hostfile(path: Path) -> tuple[Host, ...]:
    """The hosts of a file, all of whose lines are like ``worker-0 slots=8``, or UserError."""
    try:
        lines = read_bytes(path).decode().splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"--hostfile {path}: is no text ({error.reason} at byte {error.start})") from None
    except UserError as error:
        raise UserError(f"--hostfile {error}") from None
    hosts: dict[str, Host] = {}
    for number, line in enumerate((line.strip() for line in lines), start=1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise UserError(f"--hostfile {path}, line {number}: {line[:60]!r} is not like 'worker-0 slots=8'")
        host = Host(match["name"], int(match["slots"]))
        if host.address in hosts:
            raise UserError(f"--hostfile {path}, line {number}: {host.address} stands there twice")
        hosts[host.address] = host
    if not hosts:
        raise UserError(f"--hostfile {path}: names no host; write lines like 'worker-0 slots=8'")
    return tuple(hosts.values())


def found_on(hosts: Hosts | None, here: Found | None) -> Found | None:
    """The devices of all hosts, which are of the kind found here; every host counts its own before it loads."""
    return here if hosts is None or here is None else replace(here, count=hosts.devices)
