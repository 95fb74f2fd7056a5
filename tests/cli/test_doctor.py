from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from emulated_gaudi.control import environment
from gaudi_perf.accelerators.base import MIB, Finding
from gaudi_perf.accelerators.cpu.accelerator import check_cpu
from gaudi_perf.accelerators.cpu.stack import compiler_version
from gaudi_perf.accelerators.cuda.devices import nvidia_smi
from gaudi_perf.accelerators.health import DeviceFacts, Diagnosis, HostFacts, diagnosis
from gaudi_perf.accelerators.hpu.health import GaudiFacts, check_gaudis
from gaudi_perf.accelerators.hpu.hl_smi import processes
from gaudi_perf.accelerators.hpu.releases import mismatches, release_of, releases, synapse_version
from gaudi_perf.vocabulary.documents import decode, encode
from gaudi_perf.vocabulary.telemetry import DeviceProcess
from tests.cli.conftest import PROJECT, Invoke

DEVICE = DeviceFacts(
    index=0, product="HL-225", driver="1.22.0-ee698fb", memory_bytes=98304 * MIB, used_bytes=768 * MIB, throttled=()
)
GAUDI = GaudiFacts(
    hl_smi=True,
    devices=(DEVICE,) * 8,
    versions={
        "habana-torch-plugin": "1.22.0.740",
        "torch": "2.7.1+hpu_1.22.0-740.git12345",
        "optimum-habana": "1.19.1",
    },
    lazy_mode="1",
    huge_pages=153600,
    memory_available=2**40,
)
HOST = HostFacts(governors=frozenset({"performance"}), memory_available=2**40, cores=160, load=1.0, steal_percent=0.0)


def _diagnose(facts: GaudiFacts | HostFacts | tuple[str, str | None]) -> Diagnosis:
    """What the doctor says where these facts are other than those of a server as it should be.

    Args:
        facts: of Gaudis, of their host, or the versions of PyTorch and the compiler on a CPU.
    """
    if isinstance(facts, tuple):
        return diagnosis("cpu", check_cpu(*facts), HOST)
    gaudis, host = (facts, HOST) if isinstance(facts, GaudiFacts) else (GAUDI, facts)
    return diagnosis("hpu", check_gaudis(gaudis), host)


def test_a_gaudi_server_as_it_should_be() -> None:
    found = _diagnose(GAUDI)
    assert found.fit
    assert {item.status for item in found.findings} == {"ok"}
    assert decode(encode(found), Diagnosis, "doctor") == found


def _with_versions(**versions: str) -> GaudiFacts:
    named = {name.replace("_", "-"): value for name, value in versions.items()}
    return dataclasses.replace(GAUDI, versions={**GAUDI.versions, **named})


def _with_device(**fields: object) -> GaudiFacts:
    device = dataclasses.replace(DEVICE, index=1, **fields)  # type: ignore[arg-type]
    return dataclasses.replace(GAUDI, devices=(DEVICE, device))


@pytest.mark.parametrize(
    ("facts", "check", "status", "found", "remedy"),
    [
        (dataclasses.replace(GAUDI, hl_smi=False, devices=()), "devices", "unfit", "no hl-smi", "container"),
        (dataclasses.replace(GAUDI, devices=()), "devices", "unfit", "lists no device", "HABANA_VISIBLE_DEVICES"),
        (_with_device(product="HL-205"), "devices", "warning", "several kinds", "HABANA_VISIBLE_DEVICES"),
        (
            _with_versions(habana_torch_plugin="1.24.0.1007"),
            "driver and plug-in",
            "unfit",
            "different releases",
            "1.24",
        ),
        (_with_versions(habana_torch_plugin="1.22.1.6"), "driver and plug-in", "warning", "patch releases", "1.22.1"),
        (_with_device(driver="1.21.0-1"), "driver and plug-in", "unfit", "different releases", "1.22.0"),
        (_with_versions(torch="2.7.1+cpu"), "PyTorch", "unfit", "stock build", "container"),
        (_with_versions(torch="2.6.0+hpu_1.21"), "PyTorch", "unfit", "built for 2.7.1", "2.7.1"),
        (_with_versions(optimum_habana="1.21.2"), "optimum-habana", "warning", "1.19.0 to 1.19.1", "==1.19.1"),
        (
            dataclasses.replace(GAUDI, lazy_mode="0"),
            "lazy mode",
            "warning",
            "PT_HPU_LAZY_MODE=0",
            "export PT_HPU_LAZY_MODE=1",
        ),
        (
            _with_device(processes=(DeviceProcess(device=3, pid=4711, name="python"),)),
            "other processes",
            "unfit",
            "python (4711) on 3",
            "free devices",
        ),
        (_with_device(used_bytes=40000 * MIB), "device memory", "warning", "40000 MiB on 1", "hl-smi"),
        (_with_device(throttled=("thermal",)), "throttling", "unfit", "thermal", "cool"),
        (dataclasses.replace(GAUDI, huge_pages=0), "huge pages", "warning", "none", "vm.nr_hugepages"),
        (
            dataclasses.replace(HOST, governors=frozenset({"powersave"})),
            "governor",
            "warning",
            "powersave",
            "cpupower",
        ),
        (dataclasses.replace(GAUDI, memory_available=2**32), "host memory", "warning", "4.0 GiB", "32 GiB"),
        (dataclasses.replace(HOST, load=50.0), "load", "warning", "50.00", "top"),
        (dataclasses.replace(HOST, load=200.0), "load", "unfit", "200.00", "top"),
        (dataclasses.replace(HOST, steal_percent=2.0), "hypervisor steal", "warning", "2.0 %", "neighbours"),
        (dataclasses.replace(HOST, steal_percent=9.0), "hypervisor steal", "unfit", "9.0 %", "neighbours"),
        (("", None), "PyTorch", "unfit", "not installed", "pip"),
        (("", None), "C++ compiler", "warning", "skipped", "g++"),
        (dataclasses.replace(HOST, memory_available=2**30), "host memory", "unfit", "1.0 GiB", "end"),
    ],
)
def test_each_trouble_is_found_with_its_remedy(
    facts: GaudiFacts | HostFacts | tuple[str, str | None], check: str, status: str, found: str, remedy: str
) -> None:
    seen = _diagnose(facts)
    (finding,) = (item for item in seen.findings if item.check == check)
    assert finding.status == status
    assert found in finding.found and remedy in finding.remedy
    assert seen.fit == all(item.status != "unfit" for item in seen.findings)


def test_what_the_system_does_not_report_is_no_trouble() -> None:
    silent = dataclasses.replace(DEVICE, throttled=None)
    gaudis = check_gaudis(dataclasses.replace(GAUDI, devices=(silent,), huge_pages=None))
    found = diagnosis("hpu", gaudis, HostFacts(memory_available=2**40))
    assert found.fit and sum(item.status == "unknown" for item in found.findings) == 5


def test_a_check_of_an_accelerator_replaces_the_host_s_of_the_same_name() -> None:
    own = Finding(check="load", status="unfit", found="is ours")
    found = diagnosis("hpu", [own], HOST)
    assert [item for item in found.findings if item.check == "load"] == [own] and not found.fit


@pytest.mark.parametrize("tool", ["hl-smi", "nvidia-smi", "c++"])
def test_tools_that_write_other_bytes_than_text(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a tool does that cuts a process's name in the midst of a character."""
    path = tmp_path / tool
    path.write_text("#!/bin/sh\nprintf '|   0  10  C  caf\\303  1024MiB |\\n' | sed '1iCompute Processes'\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CXX", str(path))
    if tool == "hl-smi":
        assert [process.name for process in processes()] == ["caf\N{REPLACEMENT CHARACTER}"]
    elif tool == "nvidia-smi":
        assert nvidia_smi("name") == [["Compute Processes"], ["|   0  10  C  caf\N{REPLACEMENT CHARACTER}  1024MiB |"]]
    else:
        assert compiler_version() == "c++ Compute"
        path.write_text("#!/bin/sh\n")
        assert compiler_version() == "c++", "one that says nothing"


def test_nobody_is_told_to_install_another_version_for_an_emulated_device() -> None:
    versions = {"habana-torch-plugin": "1.23.0.1", "optimum-habana": "1.21.2", "torch": "2.9.0+cpu"}
    assert any("pip install" in text for text in mismatches(versions, ["1.23.0-695"]))
    assert mismatches(versions, ["1.23.0-emulated"]) == []


def test_releases() -> None:
    for release in releases():
        assert decode(encode(release), type(release), "release") == release
    version = synapse_version("1.18.0-ee698fb")
    assert version is not None and version == synapse_version("1.18.0.524")
    assert release_of(version) == release_of(version, validated=True)
    newest = synapse_version("1.24.2.481")
    assert newest is not None
    assert release_of(newest).synapse == "1.24.2"  # type: ignore[union-attr]
    assert release_of(newest, validated=True).optimum_habana == ("1.21.0", "1.21.2")  # type: ignore[union-attr]
    unknown = synapse_version("2.0.0")
    assert unknown is not None and release_of(unknown) is None
    assert synapse_version("N/A") is None and synapse_version("1.x.0") is None


def test_doctor_of_this_machine(invoke: Invoke) -> None:
    done = invoke("doctor", "--json", "--accelerator", "cpu")
    found = decode(done.output, Diagnosis, "doctor")
    assert done.exit_code == (0 if found.fit else 1)
    plain = invoke("doctor", "--accelerator", "hpu")
    assert "to measure with" in plain.output


@pytest.mark.parametrize(("driver", "fit"), [(None, True), ("1.21.0-emulated", False)])
def test_doctor_on_an_emulated_server(driver: str | None, fit: bool, tmp_path: Path) -> None:
    pretended = environment("gaudi2", 8, synapse="1.24.0", directory=tmp_path, driver=driver)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PT_HPU_", "HABANA_"))}
    code = "from gaudi_perf.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json"],
        env={**kept, **pretended},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    seen = decode(done.stdout, Diagnosis, "doctor")
    found = {item.check: item for item in seen.findings}
    assert seen.accelerator == "hpu"
    assert found["devices"].found == "8 x HL-225"
    assert found["driver and plug-in"].status == ("ok" if fit else "unfit")
    assert found["throttling"].status == "ok"  # as pyhlml of the pretended server reports
    assert found["other processes"].status == "ok"
    assert found["optimum-habana"].status in ("ok", "warning", "unfit")
    assert done.returncode == (0 if seen.fit else 1)
