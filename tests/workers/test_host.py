from __future__ import annotations

import os

import numpy as np
import psutil
import pytest

from gaudi_perf.accelerators import host
from gaudi_perf.accelerators.host import HostWatch
from gaudi_perf.workers.rank.probes import HostProbe


def test_the_host_as_it_is() -> None:
    found = HostWatch.begin().end()
    assert found.cpu and found.cpu == host.cpu_model()
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.memory_bytes == psutil.virtual_memory().total
    assert found.steal_percent is None or 0 <= found.steal_percent <= 100
    assert str(found.cores) in found.host_class and found.cpu in found.host_class
    assert HostWatch.begin().end(2).host_class == f"2 hosts of {found.host_class}"


def test_steal_is_a_share_of_the_time_between_the_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([(100.0, 10.0), (300.0, 13.0)])
    monkeypatch.setattr(host, "_processor_times", lambda: next(readings))
    assert HostWatch.begin().end().steal_percent == 1.5


@pytest.mark.parametrize("readings", [[(100.0, None), (300.0, None)], [(100.0, 1.0), (100.0, 1.0)]])
def test_steal_is_unknown_where_nothing_tells(
    readings: list[tuple[float, float | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(readings)
    monkeypatch.setattr(host, "_processor_times", lambda: next(left))
    assert HostWatch.begin().end().steal_percent is None


def test_guest_time_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux counts the time of guests in user time, too."""
    times = psutil.cpu_times()
    if not hasattr(times, "guest"):
        pytest.skip("this system does not tell of guests")
    reported = times._replace(user=100.0, guest=80.0, guest_nice=5.0)
    other = sum(reported) - reported.guest - reported.guest_nice
    monkeypatch.setattr(psutil, "cpu_times", lambda: reported)
    assert host._processor_times()[0] == pytest.approx(other)


def test_usable_cores_follow_the_affinity() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert host.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_probes_are_short_fixed_work() -> None:
    probe = HostProbe()
    seconds = [probe.seconds() for _ in range(30)]
    assert all(value > 0 for value in seconds)
    assert min(seconds) < 0.05, "about a millisecond on any machine; the least of thirty on a busy one"


def test_probes_take_no_memory_each_time() -> None:
    probe = HostProbe()
    before = probe._target.ctypes.data, probe._result.ctypes.data
    probe.seconds()
    assert (probe._target.ctypes.data, probe._result.ctypes.data) == before
    assert np.array_equal(probe._target, probe._source)
