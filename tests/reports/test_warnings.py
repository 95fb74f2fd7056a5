from __future__ import annotations

from gaudi_perf.reports.warnings import device_lines, telemetry_warnings
from gaudi_perf.vocabulary.telemetry import DeviceSample, Telemetry


def told(*samples: DeviceSample) -> Telemetry:
    return Telemetry(source="told", samples=list(samples))


def test_nothing_is_odd_about_a_steady_device() -> None:
    steady = told(*(DeviceSample(device=0, clock_mhz=clock) for clock in (1650, 1640, 1650)))
    assert telemetry_warnings(steady) == telemetry_warnings(None) == []


def test_a_clock_that_varies_without_a_reason_is_odd() -> None:
    (line,) = telemetry_warnings(told(DeviceSample(device=3, clock_mhz=1650), DeviceSample(device=3, clock_mhz=1200)))
    assert "device 3 varied from 1200 to 1650 MHz" in line


def test_what_makes_rounds_invalid_is_not_told_twice() -> None:
    throttled = DeviceSample(device=0, clock_mhz=800, throttle_reasons=["power"])
    assert telemetry_warnings(told(DeviceSample(device=0, clock_mhz=1650), throttled)) == []


def test_throttling_before_the_warm_up_is_odd() -> None:
    (line,) = telemetry_warnings(told(DeviceSample(device=0, moment="before", throttle_reasons=["thermal"])))
    assert "throttled (thermal) before the warm-up" in line


def test_devices_in_words() -> None:
    samples = [
        DeviceSample(device=0, moment="before", clock_mhz=100),
        DeviceSample(device=0, clock_mhz=1650, temperature_c=55, power_w=300.4),
        DeviceSample(device=0, moment="after", clock_mhz=1500, temperature_c=55),
        DeviceSample(device=1, moment="after", throttle_reasons=["power"]),
        DeviceSample(device=2, moment="after"),
    ]
    assert device_lines(told(*samples)) == [
        ("device 0", "1500 to 1650 MHz, 55 °C, 300 W"),
        ("device 1", "throttled: power"),
    ]
