"""From facts to findings, each with its remedy. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator

from gaudi_perf.accelerators.cuda.health import check_gpus
from gaudi_perf.accelerators.doctor.facts import Facts
from gaudi_perf.accelerators.doctor.findings import Diagnosis, Finding, Status
from gaudi_perf.accelerators.hpu.matching import match_versions

GIB = 1 << 30
IDLE_DEVICE_SHARE = 0.05
"""What a Gaudi's own software may hold of its memory while nobody uses it."""
HUGE_PAGES = 153600
"""Pages of 2 MiB that scripts for servers with eight Gaudis reserve."""
BUSY_LOAD = 0.25
OVERLOAD = 1.0
STEAL_WARNING, STEAL_UNFIT = 1.0, 5.0


def diagnose(facts: Facts) -> Diagnosis:
    """Say what the facts mean. A machine with a finding that is ``unfit`` is not fit."""
    if facts.accelerator == "cuda":
        own = check_gpus(facts.gpus, facts.no_nvml, facts.versions.get("torch"))
    else:
        own = _gaudi(facts) if facts.accelerator == "hpu" else _cpu(facts)
    findings = [*own, *_host(facts)]
    fit = all(finding.status != "unfit" for finding in findings)
    return Diagnosis(accelerator=facts.accelerator, fit=fit, findings=findings)


def _gaudi(facts: Facts) -> Iterator[Finding]:
    yield _devices(facts)
    for match in match_versions(facts.versions, {device.driver for device in facts.devices}):
        yield _finding(match.check, match.status, match.found, match.remedy)
    yield _lazy_mode(facts)
    yield _processes(facts)
    yield _device_memory(facts)
    yield _throttling(facts)
    yield _huge_pages(facts)


def _cpu(facts: Facts) -> Iterator[Finding]:
    yield _finding("devices", "ok", "no accelerator: stand-in shapes are measured on the CPU")
    torch = facts.versions.get("torch")
    if torch is None:
        yield _finding("PyTorch", "unfit", "is not installed", "pip install -e .")
    else:
        yield _finding("PyTorch", "ok", torch)
    if facts.compiler is None:
        yield _finding(
            "C++ compiler", "warning", "none, so the cases with graphs are skipped", "apt install g++, or set CXX"
        )
    else:
        yield _finding("C++ compiler", "ok", facts.compiler)


def _host(facts: Facts) -> Iterator[Finding]:
    yield _governor(facts)
    yield _memory(facts)
    yield _load(facts)
    yield _steal(facts)


def _devices(facts: Facts) -> Finding:
    if not facts.hl_smi:
        remedy = "install the driver and habanalabs-thunk, or run in the vendor's container with --runtime=habana"
        return _finding("devices", "unfit", "there is no hl-smi", remedy)
    if not facts.devices:
        remedy = "run hl-smi and read its error; in a container, set HABANA_VISIBLE_DEVICES=all"
        return _finding("devices", "unfit", "hl-smi lists no device", remedy)
    products = sorted({device.product for device in facts.devices})
    found = f"{len(facts.devices)} x {', '.join(products)}"
    if len(products) > 1:
        return _finding("devices", "warning", f"{found}: of several kinds", "show one kind with HABANA_VISIBLE_DEVICES")
    return _finding("devices", "ok", found)


def _lazy_mode(facts: Facts) -> Finding:
    if facts.lazy_mode not in (None, "1"):
        found = f"PT_HPU_LAZY_MODE={facts.lazy_mode} here; the suite's own workers set it to 1, other programs do not"
        return _finding("lazy mode", "warning", found, "export PT_HPU_LAZY_MODE=1")
    where = "PT_HPU_LAZY_MODE=1" if facts.lazy_mode else "PT_HPU_LAZY_MODE is not set here"
    return _finding("lazy mode", "ok", f"{where}; the suite's workers set it to 1")


def _processes(facts: Facts) -> Finding:
    if not facts.processes:
        status: Status = "ok" if facts.devices else "unknown"
        return _finding("other processes", status, "hl-smi lists none on the devices")
    words = ", ".join(f"{item.name or '?'} ({item.pid}) on {item.device}" for item in facts.processes[:8])
    return _finding("other processes", "unfit", f"on the devices: {words}", "let them end, or measure on free devices")


def _device_memory(facts: Facts) -> Finding:
    known = [
        (index, device.used_mib, device.memory_mib)
        for index, device in enumerate(facts.devices)
        if device.used_mib is not None and device.memory_mib
    ]
    if not known:
        return _finding("device memory", "unknown", "hl-smi does not tell")
    used = [f"{mib} MiB on {index}" for index, mib, total in known if mib > IDLE_DEVICE_SHARE * total]
    if used:
        remedy = "find who holds it: hl-smi on the host also lists processes of other containers"
        return _finding("device memory", "warning", f"in use: {', '.join(used)}", remedy)
    return _finding("device memory", "ok", f"{min(total - mib for _, mib, total in known)} MiB free on each device")


def _throttling(facts: Facts) -> Finding:
    if facts.throttled is None:
        return _finding(
            "throttling", "unknown", "pyhlml does not tell", "it needs habana-pyhlml and the driver's libhlml.so"
        )
    if facts.throttled:
        remedy = "cool the server, or raise the power limit; see hl-smi -q -d POWER,TEMPERATURE"
        return _finding("throttling", "unfit", ", ".join(facts.throttled), remedy)
    return _finding("throttling", "ok", "none")


def _huge_pages(facts: Facts) -> Finding:
    if facts.huge_pages is None:
        return _finding("huge pages", "unknown", "the system does not tell")
    if facts.huge_pages == 0 and not _emulated(facts):
        return _finding("huge pages", "warning", "none reserved", f"sudo sysctl -w vm.nr_hugepages={HUGE_PAGES}")
    return _finding("huge pages", "ok", f"{facts.huge_pages} reserved")


def _governor(facts: Facts) -> Finding:
    if not facts.governors:
        return _finding("governor", "unknown", "the system does not tell (usual in a virtual machine)")
    if facts.governors != {"performance"}:
        remedy = "sudo cpupower frequency-set --governor performance"
        return _finding("governor", "warning", ", ".join(sorted(facts.governors)), remedy)
    return _finding("governor", "ok", "performance")


def _memory(facts: Facts) -> Finding:
    free = facts.memory_available / GIB
    found = f"{free:.1f} GiB free"
    if facts.accelerator == "hpu" and not _emulated(facts) and free < 32:
        return _finding("host memory", "warning", f"{found}; weights pass through it", "free 32 GiB for BLOOMZ-7B")
    if free < 2:
        return _finding("host memory", "unfit", found, "end other programs: a stand-in takes up to 2 GiB")
    return _finding("host memory", "ok", found)


def _load(facts: Facts) -> Finding:
    if facts.load is None:
        return _finding("load", "unknown", "the system does not tell")
    found = f"{facts.load:.2f} on {facts.cores} cores"
    remedy = "wait, or end what runs: see top"
    if facts.load > OVERLOAD * facts.cores:
        return _finding("load", "unfit", found, remedy)
    if facts.load > BUSY_LOAD * facts.cores:
        return _finding("load", "warning", found, remedy)
    return _finding("load", "ok", found)


def _steal(facts: Facts) -> Finding:
    if facts.steal_percent is None:
        return _finding("hypervisor steal", "unknown", "the system does not tell")
    found = f"{facts.steal_percent:.1f} % of the processors' time"
    remedy = "measure on a machine of its own, or when its neighbours are quiet"
    if facts.steal_percent > STEAL_UNFIT:
        return _finding("hypervisor steal", "unfit", found, remedy)
    status: Status = "warning" if facts.steal_percent > STEAL_WARNING else "ok"
    return _finding("hypervisor steal", status, found, remedy if status == "warning" else "")


def _finding(check: str, status: Status, found: str, remedy: str = "") -> Finding:
    return Finding(check=check, status=status, found=found, remedy=remedy)


def _emulated(facts: Facts) -> bool:
    """An emulated Gaudi's driver says so."""
    return any("emulated" in device.driver for device in facts.devices)
