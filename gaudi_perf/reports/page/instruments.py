"""What the devices' instruments told during the rounds, in words: clock, temperature, power, throttling, processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gaudi_perf.reports.page.data import Pair
from gaudi_perf.reports.warnings import device_lines
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.telemetry import DeviceSample, Telemetry


def telemetry_facts(runs: Sequence[Run]) -> list[Pair]:
    """Names and values; empty where there are no instruments."""
    told = [run.measurement.telemetry for run in runs if run.measurement.telemetry is not None]
    if not told:
        return []
    samples = [sample for one in told for sample in one.samples if sample.moment != "before"]
    found = [
        *_reading("clock", samples, lambda sample: sample.clock_mhz, "MHz"),
        *_reading("temperature", samples, lambda sample: sample.temperature_c, "°C"),
        *_reading("power", samples, lambda sample: sample.power_w, "W"),
        ("throttled", _throttled(told)),
    ]
    others = dict.fromkeys(process.label for one in told for process in one.foreign_processes)
    found.append(("processes of others", ", ".join(others) or "none"))
    found += device_lines(told[-1]) if len({sample.device for sample in samples}) > 1 else []
    found.append(("reported by", ", ".join(dict.fromkeys(one.source for one in told))))
    return found


def _reading(
    name: str, samples: Sequence[DeviceSample], value: Callable[[DeviceSample], float | None], unit: str
) -> list[Pair]:
    """The lowest and the highest reading, and which device had them where there are several."""
    known = [(reading, sample.device) for sample in samples if (reading := value(sample)) is not None]
    if not known:
        return []
    (low, lowest), (high, highest) = min(known), max(known)
    if round(low) == round(high):
        return [(name, f"{low:.0f} {unit}")]
    several = len({device for _, device in known}) > 1
    where = (f" (device {lowest})", f" (device {highest})") if several else ("", "")
    return [(name, f"{low:.0f}{where[0]} to {high:.0f} {unit}{where[1]}")]


def _throttled(told: Sequence[Telemetry]) -> str:
    reasons = dict.fromkeys(
        f"device {device}: {', '.join(why)}" for one in told for device, why in one.throttled().items()
    )
    return "; ".join(reasons) or "no"
