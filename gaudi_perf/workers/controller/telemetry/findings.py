"""From samples and lists of processes to what a run's telemetry is, and to why its rounds must not be judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample, Telemetry


def telemetry_of(
    source: str,
    samples: Sequence[DeviceSample],
    processes: Sequence[Sequence[DeviceProcess]],
    own_pids: Collection[int],
    notes: Sequence[str] = (),
) -> Telemetry:
    """The telemetry of a run: of the devices that it used, with the processes of others on them.

    Args:
        source: who told.
        samples: of all devices, in order of time.
        processes: lists of all processes on all devices, each of one moment.
        own_pids: processes of the worker group.
        notes: of the source.
    """
    used = {process.device for listed in processes for process in listed if process.pid in own_pids}
    of_others = [foreign(listed, own_pids, used) for listed in processes]
    unclear = [] if used else [_crowded(listed) for listed in processes]
    # Where no process is known as ours, ours are on devices that have one; where none is listed at all, on any.
    held = used or {process.device for listed in processes for process in listed}
    kept = [sample for sample in samples if sample.device in held or not held]
    return Telemetry(
        source=source,
        samples=kept,
        foreign_processes=_each_once(of_others),
        unclear_processes=_each_once(unclear),
        notes=list(dict.fromkeys(notes)),
    )


def foreign(listed: Sequence[DeviceProcess], own_pids: Collection[int], used: Collection[int]) -> list[DeviceProcess]:
    """The processes of others on the devices that the run uses; none where those are not known.

    Vendors' tools may tell the host's process numbers while the suite runs in a container that has numbers of its own.
    Then none is known as ours, and to call one foreign would be a guess.
    """
    return [process for process in listed if process.device in used and process.pid not in own_pids]


def _crowded(listed: Sequence[DeviceProcess]) -> list[DeviceProcess]:
    """The processes on devices that have several."""
    counts = Counter(process.device for process in listed)
    return [process for process in listed if counts[process.device] > 1]


def _each_once(lists: Sequence[Sequence[DeviceProcess]]) -> list[DeviceProcess]:
    found: dict[tuple[int, int], DeviceProcess] = {}
    for process in (process for listed in lists for process in listed):
        found.setdefault((process.device, process.pid), process)
    return list(found.values())


def problems_of(telemetry: Telemetry | None) -> list[str]:
    """Why rounds with this telemetry must not be judged, with the remedy; empty if they may."""
    if telemetry is None:
        return []
    found = []
    for device, reasons in sorted(telemetry.throttled().items()):
        found.append(
            f"device {device} was throttled ({', '.join(reasons)}) during the timed rounds: cool the server or raise "
            "the device's power limit"
        )
    if telemetry.foreign_processes:
        who = ", ".join(process.label for process in telemetry.foreign_processes[:8])
        found.append(f"shared with others during the timed rounds: {who}: let them end, or measure on free devices")
    return found
