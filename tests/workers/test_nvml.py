"""NVML as the driver's settings and as telemetry; its library is pretended (tests/injected/nvml)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynvml", reason='nvidia-ml-py is not installed: pip install -e ".[dev]"')


import pynvml

from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.accelerators.cuda.nvml import Nvml, NvmlFacts, NvmlUnavailable, nvml_facts
from gaudi_perf.accelerators.cuda.telemetry import NvmlSource
from gaudi_perf.reports.warnings import telemetry_warnings
from gaudi_perf.vocabulary.telemetry import DeviceSample, Telemetry
from gaudi_perf.workers.controller.telemetry import TelemetryWatch, problems_of, telemetry_of

INJECTED = Path(__file__).parent.parent / "injected" / "nvml"
H100 = {
    "uuid": "GPU-aaaa",
    "clocks": [1980, 1980, 2619],
    "max clocks": [1980, 1980, 2619],
    "application clocks": [1830, 1830, 2619],
    "temperature": 55,
    "milliwatts": 412_345,
    "milliwatts limit": 700_000,
    "memory used": 16_000_000_000,
    "ecc": [1, 1],
    "mig": [0, 0],
    "persistence": 1,
    "vbios": "96.00.61.00.01",
    "event reasons": 0,
    "counters": {},
    "processes": [os.getpid()],
}
GPU_IDLE, POWER_CAP, HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, BRAKE = 0x1, 0x4, 0x8, 0x20, 0x40, 0x80  # nvml.h
NO_PERMISSION = "error 4"  # nvml.h
SECOND = 10**9
# Their numbers changed from 12.575 to 13.590.
COUNTER = {
    "sw thermal": str(pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN),
    "hw thermal": str(pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN),
    "power brake": str(pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN),
    "power cap": str(pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP),
}


class Driver:
    """The pretended driver: a file that each answer is read from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Any] = {"gpus": [dict(H100)], "names": {str(os.getpid()): "/usr/bin/python3"}}
        self.save()

    def save(self) -> None:
        self.path.write_text(json.dumps(self.answers))

    def set(self, gpu: int = 0, **answers: Any) -> None:
        self.answers["gpus"][gpu].update({name.replace("_", " "): value for name, value in answers.items()})
        self.save()

    def forget(self, *names: str) -> None:
        for name in names:
            del self.answers["gpus"][0][name]
        self.save()


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    monkeypatch.setenv("PRETENDED_NVML", str(tmp_path / "nvml.json"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.syspath_prepend(str(INJECTED))
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    return Driver(tmp_path / "nvml.json")


@pytest.fixture
def source(driver: Driver) -> Iterator[NvmlSource]:
    found = accelerator_named("cuda").telemetry_source()
    assert isinstance(found, NvmlSource)
    with closing(found):
        yield found


def test_driver_and_settings(driver: Driver) -> None:
    facts = nvml_facts("aaaa")
    assert (facts.driver, facts.cuda) == ("580.159.04", "13.0")
    assert facts.settings == {
        "sm-clock-max": "1980 MHz",
        "memory-clock-max": "2619 MHz",
        "application-sm-clock": "1830 MHz",
        "power-limit": "700 W",
        "ecc": "on",
        "mig": "off",
        "persistence-mode": "on",
        "vbios": "96.00.61.00.01",
    }
    assert nvml_facts("GPU-aaaa") == nvml_facts("") == facts
    assert nvml_facts("zzzz").settings == {}, "never those of another GPU"


def test_what_is_not_reported_is_not_there(driver: Driver) -> None:
    driver.forget("ecc", "application clocks", "vbios", "milliwatts limit")
    driver.set(mig=NO_PERMISSION)
    facts = nvml_facts("aaaa")
    assert facts.driver == "580.159.04"
    assert facts.settings.keys() == {"sm-clock-max", "memory-clock-max", "persistence-mode"}


def test_no_driver_and_no_library(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.answers["no driver"] = True
    driver.save()
    assert nvml_facts("aaaa") == NvmlFacts()
    with pytest.raises(NvmlUnavailable, match="does not start: Driver Not Loaded"):
        Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml_facts("aaaa") == NvmlFacts()
    with pytest.raises(NvmlUnavailable, match=r'pip install -e "\.\[cuda\]"'):
        Nvml()


def test_a_sample(source: NvmlSource) -> None:
    assert source.sample() == [
        DeviceSample(
            device=0,
            clock_mhz=1980,
            memory_clock_mhz=2619,
            temperature_c=55,
            power_w=412.345,
            memory_used_bytes=16_000_000_000,
        )
    ]
    (process,) = source.processes()
    assert (process.pid, process.name, process.memory_bytes) == (os.getpid(), "python3", None)


@pytest.mark.parametrize(
    ("mask", "faults", "limits"),
    [
        (0, [], []),
        (GPU_IDLE, [], []),
        (POWER_CAP, [], ["power limit"]),
        (SW_THERMAL, ["thermal, by the driver"], []),
        (HW_SLOWDOWN, [], []),
        (HW_SLOWDOWN | HW_THERMAL, ["thermal, by the hardware", "hardware slowdown"], []),
        (BRAKE | POWER_CAP, ["power brake"], ["power limit"]),
    ],
)
@pytest.mark.parametrize("function", ["event reasons", "throttle reasons"])
def test_reasons(
    function: str, mask: int, faults: list[str], limits: list[str], driver: Driver, source: NvmlSource
) -> None:
    driver.forget("event reasons")  # drivers before 535 have only the other one
    driver.set(**{function: mask})
    (sample,) = source.sample()
    assert (sample.throttle_reasons, sample.limits) == (faults, limits)
    problems = problems_of(Telemetry(source="nvml", samples=[sample]))
    assert bool(problems) == bool(faults) and all("device 0 was throttled" in problem for problem in problems)


def test_what_falls_between_samples_is_seen(driver: Driver, source: NvmlSource) -> None:
    driver.set(counters={COUNTER["hw thermal"]: 500, COUNTER["power cap"]: 7})
    assert [source.sample()[0].throttle_reasons for _ in range(2)] == [[], []], "what was before the first is past"
    driver.set(counters={COUNTER["hw thermal"]: 501, COUNTER["power cap"]: 8})
    assert source.sample()[0].throttle_reasons == [], "a nanosecond is no time"
    driver.set(counters={COUNTER["hw thermal"]: SECOND, COUNTER["power cap"]: SECOND})
    (sample,) = source.sample()
    assert (sample.throttle_reasons, sample.limits) == (["thermal, by the hardware"], ["power limit"])
    assert source.sample()[0].throttle_reasons == []


def test_a_hardware_slowdown_of_its_own_counts_when_it_lasts(driver: Driver, source: NvmlSource) -> None:
    seen = []
    for mask in (HW_SLOWDOWN, 0, HW_SLOWDOWN, HW_SLOWDOWN, 0):
        driver.set(event_reasons=mask)
        seen.append(source.sample()[0].throttle_reasons)
    assert seen == [[], [], [], ["hardware slowdown"], []], "clocks that change are reported as one, too, for a moment"


def test_what_was_before_the_rounds_is_past_when_they_begin(driver: Driver, source: NvmlSource) -> None:
    driver.set(counters={COUNTER["hw thermal"]: 500})
    source.sample()
    driver.set(counters={COUNTER["hw thermal"]: SECOND})  # in the warm-up
    source.begin()
    assert source.sample()[0].throttle_reasons == []
    driver.set(counters={COUNTER["hw thermal"]: 2 * SECOND})
    assert source.sample()[0].throttle_reasons == ["thermal, by the hardware"]


def every_error() -> list[int]:
    import pynvml

    return sorted({value for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_")})


OF_WELL_GPUS = {2, 3, 4, 6, 13, 21, 22, 25, 26}  # nvml.h; 3 and 4: not supported, no permission


@pytest.mark.parametrize("error", every_error())
def test_every_error_is_survived_and_reported(error: int, driver: Driver, source: NvmlSource) -> None:
    driver.answers["gpus"][0] = {"uuid": "GPU-aaaa"} | dict.fromkeys(H100.keys() - {"uuid"}, f"error {error}")
    driver.save()
    source.begin()
    assert source.sample() == [DeviceSample(device=0)] and source.processes() == []
    assert nvml_facts("aaaa").settings == {}
    notes = source.notes()
    assert any(note.startswith("NVML, nvmlDeviceGetClockInfo: ") for note in notes) == (error not in OF_WELL_GPUS)
    assert telemetry_warnings(Telemetry(source="nvml", notes=notes)) == notes


def test_a_gpu_that_is_lost_is_another_gpu_s_no_matter(driver: Driver) -> None:
    driver.answers["gpus"].append({"uuid": "error 15"})  # GPU is lost
    driver.save()
    with closing(NvmlSource()) as source:
        assert [sample.device for sample in source.sample()] == [0]
        assert source.notes() == ["NVML, nvmlDeviceGetHandleByIndex: GPU is lost"]


def test_a_part_of_a_multi_instance_gpu(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = os.getpid(), 4711
    parts = [None, {"uuid": "MIG-1", "processes": [own]}, {"uuid": "MIG-2", "processes": [other]}]
    driver.answers["gpus"].insert(0, {**H100, "uuid": "GPU-zzzz"})
    driver.set(1, mig=[1, 1], parts=parts, processes=[own, other])
    for shown, pids in ((None, [own]), ("MIG-1,MIG-2", [own]), ("MIG-2", [other])):
        if shown is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        with closing(NvmlSource()) as source:
            listed = [process.pid for process in source.processes() if process.device == 1]
            assert listed == pids, "others compute on parts of their own"
            assert any(note.startswith("device 1 is a part of a multi-instance GPU") for note in source.notes())
            assert shown is None or [sample.device for sample in source.sample()] == [1], "its GPU, not the first"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-3")
    with pytest.raises(NvmlUnavailable, match="no GPU"):
        NvmlSource()


def test_a_virtual_gpu_says_so(driver: Driver, source: NvmlSource) -> None:
    assert source.notes() == []
    driver.set(virtualization=2)
    (note,) = source.notes()
    assert "device 0 is a virtual GPU" in note and nvml_facts("aaaa").settings["virtualization"] == "vgpu"


def test_an_mps_server_is_nobody_but_its_clients_are(driver: Driver, source: NvmlSource) -> None:
    own, server, other = os.getpid(), 11, 12
    driver.answers["names"] |= {str(server): "/usr/bin/nvidia-cuda-mps-server", str(other): "/opt/train"}
    driver.set(processes=[server], mps_processes=[own])
    assert [process.pid for process in source.processes()] == [own]
    assert source.notes() == ["device 0 is shared by an MPS server"]
    driver.set(mps_processes=[own, other])
    telemetry = telemetry_of("nvml", source.sample(), [source.processes()], {own}, source.notes())
    (problem,) = problems_of(telemetry)
    assert "train (process 12)" in problem and "mps" not in problem
    driver.set(processes=[0, own], mps_processes=[])
    assert [process.pid for process in source.processes()] == [own], "a container hides a number"


def test_nvlinks_are_counted(driver: Driver) -> None:
    assert nvml_facts("aaaa").nvlinks is None
    driver.set(links=[1] * 17 + [0])
    assert nvml_facts("aaaa").nvlinks == 17


def test_a_gpu_that_reports_next_to_nothing(driver: Driver, source: NvmlSource) -> None:
    driver.answers["gpus"][0] = {"uuid": "GPU-aaaa", "processes": NO_PERMISSION, "clocks": NO_PERMISSION}
    driver.save()
    assert source.sample() == [DeviceSample(device=0)] and source.processes() == []


def test_only_gpus_that_are_shown(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.answers["gpus"].append({**H100, "uuid": "GPU-bbbb"})
    driver.save()
    for shown, expected in ((None, [0, 1]), ("1", [1]), ("GPU-bbbb,0", [1, 0])):
        if shown is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        with closing(NvmlSource()) as source:
            assert [sample.device for sample in source.sample()] == expected
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(NvmlUnavailable, match="no GPU"):
        NvmlSource()


def test_throttled_and_shared_rounds_are_reported_by_the_sampling_process(driver: Driver, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{INJECTED}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with closing(TelemetryWatch(accelerator_named("cuda"), environment, tmp_path / "log")) as watch:
        watch.look()
        watch.begin()
        quiet = watch.end({os.getpid()})
        assert quiet is not None and quiet.source == "nvml" and problems_of(quiet) == []
        watch.look()
        driver.set(event_reasons=SW_THERMAL, processes=[os.getpid(), 4711])
        driver.answers["names"]["4711"] = "/opt/train"
        driver.save()
        watch.begin()
        seen = watch.end({os.getpid()})
    assert seen is not None
    throttled, shared = problems_of(seen)
    assert "device 0 was throttled (thermal, by the driver)" in throttled
    assert "train (process 4711) on device 0" in shared
