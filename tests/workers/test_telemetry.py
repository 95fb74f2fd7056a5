"""Telemetry: what is made of readings and lists of processes, and the process that takes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from emulated_gaudi.control import Fault, environment, set_faults
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.reports.warnings import telemetry_warnings
from gaudi_perf.vocabulary.documents import decode, encode
from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample, Telemetry
from gaudi_perf.workers.controller.telemetry import TelemetryWatch, problems_of, telemetry_of

OURS = DeviceProcess(device=3, pid=100, name="python")
THEIRS = DeviceProcess(device=3, pid=7, name="train")
ELSEWHERE = DeviceProcess(device=5, pid=8, name="train")
SAMPLES = [DeviceSample(device=device) for device in range(8)]


def test_only_the_devices_of_the_run_count() -> None:
    telemetry = telemetry_of("nobody", SAMPLES, [[OURS, ELSEWHERE]], {100})
    assert [sample.device for sample in telemetry.samples] == [3]
    assert problems_of(telemetry) == []


@pytest.mark.parametrize("lists", [[[OURS, THEIRS], [OURS]], [[OURS], [OURS, THEIRS]]])
def test_a_foreign_process_is_named(lists: list[list[DeviceProcess]]) -> None:
    telemetry = telemetry_of("nobody", SAMPLES, lists, {100, 101})
    assert telemetry.foreign_processes == [THEIRS]
    (problem,) = problems_of(telemetry)
    assert "train (process 7) on device 3" in problem


def test_processes_with_numbers_of_another_namespace() -> None:
    alone = telemetry_of("nobody", SAMPLES, [[OURS, ELSEWHERE]], {1})
    assert alone.foreign_processes == [], "each may be the run's own"
    assert [sample.device for sample in alone.samples] == [3, 5], "the run is on one of these"
    assert len(telemetry_of("nobody", SAMPLES, [[]], {1}).samples) == 8, "nothing is listed"
    shared = telemetry_of("nobody", SAMPLES, [[OURS, THEIRS]], {1})
    assert shared.foreign_processes == [] and problems_of(shared) == [], "each may be the run's own"
    assert set(shared.unclear_processes) == {OURS, THEIRS}
    (line,) = telemetry_warnings(shared)
    assert "cannot determine whether other" in line and "train (process 7) on device 3" in line
    assert telemetry_warnings(alone) == []
    known = telemetry_of("nobody", SAMPLES, [[OURS, THEIRS]], {100})
    assert telemetry_warnings(known) == [] and known.foreign_processes == [THEIRS]


def test_throttling_counts_in_and_after_the_rounds_but_not_before_the_warm_up() -> None:
    before = DeviceSample(device=0, moment="before", throttle_reasons=["power"])
    assert problems_of(Telemetry(source="nobody", samples=[before])) == []
    during = DeviceSample(device=0, throttle_reasons=["thermal"])
    after = DeviceSample(device=0, moment="after", throttle_reasons=["power", "thermal"])
    (problem,) = problems_of(Telemetry(source="nobody", samples=[before, during, after]))
    assert "device 0 was throttled (thermal, power)" in problem


@pytest.fixture
def server(tmp_path: Path) -> dict[str, str]:
    """The environment of a process on a pretended server."""
    return {**os.environ, **environment("gaudi2", devices=2, directory=tmp_path / "server")}


@pytest.fixture
def watch(server: dict[str, str], tmp_path: Path) -> Iterator[TelemetryWatch]:
    with closing(TelemetryWatch(accelerator_named("hpu"), server, tmp_path / "log")) as watch:
        yield watch


def test_an_emulated_server_is_sampled(watch: TelemetryWatch, server: dict[str, str]) -> None:
    watch.look()
    set_faults(server["EMULATED_GAUDI_FAULTS"], Fault(throttle="thermal"), Fault(foreign_process="train"))
    watch.begin()
    telemetry = watch.end({os.getpid()})
    assert telemetry is not None and telemetry.source == "pyhlml"
    assert [sample.device for sample in telemetry.samples if sample.moment == "before"] == [0, 1]
    after = [sample for sample in telemetry.samples if sample.moment == "after"]
    assert [sample.throttle_reasons for sample in after] == [["thermal"], ["thermal"]]
    assert all(sample.clock_mhz == 825 and sample.temperature_c == 100 for sample in after)
    assert all(sample.power_w is not None and 50 < sample.power_w < 700 for sample in after)
    assert decode(encode(telemetry), Telemetry, "telemetry") == telemetry


def test_samples_are_taken_during_the_rounds(watch: TelemetryWatch) -> None:
    watch.look()
    for seconds in (
        0.5,
        2,
        8,
    ):  # longer than the wait for the first sample, and again where the sampler got no processor
        watch.begin()
        subprocess.run([sys.executable, "-c", f"import time; time.sleep({seconds})"], check=True)
        telemetry = watch.end(set())
        assert telemetry is not None
        moments = [sample.moment for sample in telemetry.samples]
        if "during" in moments:
            break
    assert moments[:4] == ["before", "before", "during", "during"]


@pytest.mark.parametrize("name", ["hpu", "cpu"])
def test_without_a_source_there_is_no_telemetry_and_nothing_fails(tmp_path: Path, name: str) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("EMULATED_GAUDI")}
    with closing(TelemetryWatch(accelerator_named(name), bare, tmp_path / "log")) as watch:
        watch.look()
        watch.begin()
        assert watch.end({os.getpid()}) is None
    assert f"no telemetry of {name}" in (tmp_path / "log").read_text()


def sampler_process() -> psutil.Process:
    (sampler,) = [
        child for child in psutil.Process().children() if "gaudi_perf.accelerators.sampler" in child.cmdline()
    ]
    return sampler


def test_an_answer_that_comes_too_late_is_taken_for_no_other(
    watch: TelemetryWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.look()
    sampler_process().suspend()
    monkeypatch.setattr("gaudi_perf.workers.controller.telemetry._DEADLINE_S", 0.1)
    watch.begin()
    assert_lost(watch, {"before"})
    monkeypatch.undo()
    sampler_process().resume()
    watch.look()
    watch.begin()
    assert_lost(watch, set())  # what was asked before the freeze is answered only now


def test_a_source_that_ends_in_the_middle_costs_nothing_but_the_telemetry(watch: TelemetryWatch) -> None:
    watch.look()
    sampler_process().kill()
    watch.begin()
    assert_lost(watch, {"before"})
    watch.look()
    watch.begin()
    assert_lost(watch, set())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_source_that_never_answers_is_lost(
    watch: TelemetryWatch, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    sampler_process().send_signal(how)
    monkeypatch.setattr("gaudi_perf.workers.controller.telemetry._DEADLINE_S", 0.1)
    monkeypatch.setattr("gaudi_perf.workers.controller.telemetry._POLITE_SECONDS", 0.1)
    watch.look()
    watch.begin()
    assert_lost(watch, set())


def assert_lost(watch: TelemetryWatch, moments: set[str]) -> None:
    """What was read counts, and the summary says that it is not all: a throttled device may have gone unseen."""
    telemetry = watch.end(set())
    assert telemetry is not None and {sample.moment for sample in telemetry.samples} == moments
    (line,) = [line for line in telemetry_warnings(telemetry) if "lost" in line]
    assert line == "telemetry was lost: whether devices were throttled, or shared with others, is not known"
