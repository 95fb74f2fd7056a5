"""Ways of starting a worker group, one file each."""

from __future__ import annotations

from pathlib import Path

from gaudi_perf.protocol import GroupSpec
from gaudi_perf.workers.controller.hosts import Hosts
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.controller.launchers import hostfile as deepspeed
from gaudi_perf.workers.controller.launchers.base import Start

__all__ = ["Start", "start_of"]


def start_of(spec: GroupSpec, directory: Path, parent: int, launch: Launch, hosts: Hosts | None = None) -> Start:
    """How to start a group: a worker for one device, DeepSpeed's launcher for several.

    Args:
        directory: the group's private directory, in which the controller's socket is.
        parent: the controller's process.
        launch: the stack's interpreter.
        hosts: where the devices are, if not all on this machine.

    Raises:
        UserError: what is needed is not installed, or the hosts are not as told.
    """
    if hosts is not None:
        deepspeed.require_first_host(hosts)
    if spec.devices == 1:
        return Start(command=launch.command(directory, parent))
    return deepspeed.start_of(spec, directory, parent, launch, hosts)
