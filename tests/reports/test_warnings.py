"""When there is a warning; ``tests/golden/wording.txt`` has the sentences."""

from __future__ import annotations

import pytest

from gaudi_perf.reports.warnings import telemetry_warnings
from gaudi_perf.vocabulary.telemetry import DeviceSample, Telemetry

STEADY = [DeviceSample(device=0, clock_mhz=clock) for clock in (1650, 1640, 1650)]
THROTTLED = [
    DeviceSample(device=0, clock_mhz=1650),
    DeviceSample(device=0, clock_mhz=800, throttle_reasons=["power"]),
]
"""It makes the rounds INVALID, and is reported as that."""
VARYING = [DeviceSample(device=3, clock_mhz=1650), DeviceSample(device=3, clock_mhz=1200)]
HOT_BEFORE = [DeviceSample(device=0, moment="before", throttle_reasons=["thermal"])]


@pytest.mark.parametrize(("samples", "count"), [(STEADY, 0), (THROTTLED, 0), (VARYING, 1), (HOT_BEFORE, 1)])
def test_what_the_devices_are_warned_of(samples: list[DeviceSample], count: int) -> None:
    assert len(telemetry_warnings(Telemetry(source="made up", samples=samples))) == count


def test_without_telemetry_there_is_no_warning() -> None:
    assert telemetry_warnings(None) == []
