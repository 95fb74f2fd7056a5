"""pynvml whose library is pretended: constants, types and errors are the real module's, answers come from a file.

``PRETENDED_NVML`` names a JSON file with ``gpus``, each with what it answers; what a GPU has no answer for is
not supported, and ``error 4`` is that error. Handles are
numbers; 100 is the first part of the first GPU. Put this directory first on the path.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_elsewhere = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).parent.resolve()]
_spec = importlib.machinery.PathFinder.find_spec("pynvml", _elsewhere)
if _spec is None or _spec.loader is None:
    raise ImportError("nvidia-ml-py is not installed")
_real: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_real)
globals().update({name: value for name, value in vars(_real).items() if not name.startswith("__")})


def _answers() -> dict[str, Any]:
    return json.loads(Path(os.environ["PRETENDED_NVML"]).read_text())  # type: ignore[no-any-return]


def _answer(gpu: int, name: str) -> Any:
    answers = _answers()["gpus"][gpu]
    if name not in answers:
        raise _real.NVMLError(_real.NVML_ERROR_NOT_SUPPORTED)
    if isinstance(answers[name], str) and answers[name].startswith("error "):
        raise _real.NVMLError(int(answers[name].removeprefix("error ")))
    return answers[name]


def _whole(handle: int) -> int:
    return handle // 100 - 1 if handle >= 100 else handle


def nvmlInit() -> None:
    if _answers().get("no driver"):
        raise _real.NVMLError(_real.NVML_ERROR_DRIVER_NOT_LOADED)


def nvmlShutdown() -> None:
    pass


def nvmlDeviceGetCount() -> int:
    return len(_answers()["gpus"])


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    _answer(index, "uuid")
    return index


def nvmlDeviceGetIndex(handle: int) -> int:
    return handle


def nvmlDeviceGetMaxMigDeviceCount(handle: int) -> int:
    return len(_answer(handle, "parts"))


def nvmlDeviceGetMigDeviceHandleByIndex(handle: int, number: int) -> int:
    if _answer(handle, "parts")[number] is None:
        raise _real.NVMLError(_real.NVML_ERROR_NO_PERMISSION)
    return (handle + 1) * 100 + number


def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle: int) -> int:
    return _whole(handle)


def nvmlDeviceGetVirtualizationMode(handle: int) -> int:
    return int(_answer(handle, "virtualization"))


def nvmlDeviceGetNvLinkState(handle: int, link: int) -> int:
    if link >= len(_answer(handle, "links")):
        raise _real.NVMLError(_real.NVML_ERROR_INVALID_ARGUMENT)
    return int(_answer(handle, "links")[link])


def nvmlDeviceGetHandleByUUID(uuid: str) -> int:
    for index, gpu in enumerate(_answers()["gpus"]):
        for number, part in enumerate(gpu.get("parts", ())):
            if part is not None and part["uuid"] == uuid:
                return (index + 1) * 100 + number
        if gpu["uuid"] == uuid:
            return index
    raise _real.NVMLError(_real.NVML_ERROR_NOT_FOUND)


def nvmlDeviceGetUUID(handle: int) -> str:
    return str(_answer(handle, "uuid"))


def nvmlSystemGetDriverVersion() -> str:
    return "580.159.04"


def nvmlSystemGetCudaDriverVersion_v2() -> int:
    return 13000


def nvmlSystemGetProcessName(pid: int) -> str:
    names = _answers().get("names", {})
    if str(pid) not in names:
        raise _real.NVMLError(_real.NVML_ERROR_NOT_FOUND)
    return str(names[str(pid)])


def nvmlDeviceGetClockInfo(handle: int, kind: int) -> int:
    return int(_answer(handle, "clocks")[kind])


def nvmlDeviceGetMaxClockInfo(handle: int, kind: int) -> int:
    return int(_answer(handle, "max clocks")[kind])


def nvmlDeviceGetApplicationsClock(handle: int, kind: int) -> int:
    return int(_answer(handle, "application clocks")[kind])


def nvmlDeviceGetTemperature(handle: int, sensor: int) -> int:
    assert sensor == _real.NVML_TEMPERATURE_GPU
    return int(_answer(handle, "temperature"))


def nvmlDeviceGetPowerUsage(handle: int) -> int:
    return int(_answer(handle, "milliwatts"))


def nvmlDeviceGetEnforcedPowerLimit(handle: int) -> int:
    return int(_answer(handle, "milliwatts limit"))


def nvmlDeviceGetMemoryInfo(handle: int) -> SimpleNamespace:
    return SimpleNamespace(used=_answer(handle, "memory used"))


def nvmlDeviceGetEccMode(handle: int) -> list[int]:
    return list(_answer(handle, "ecc"))


def nvmlDeviceGetMigMode(handle: int) -> list[int]:
    return list(_answer(handle, "mig"))


def nvmlDeviceGetPersistenceMode(handle: int) -> int:
    return int(_answer(handle, "persistence"))


def nvmlDeviceGetVbiosVersion(handle: int) -> str:
    return str(_answer(handle, "vbios"))


def nvmlDeviceGetCurrentClocksEventReasons(handle: int) -> int:
    return int(_answer(handle, "event reasons"))


def nvmlDeviceGetCurrentClocksThrottleReasons(handle: int) -> int:
    return int(_answer(handle, "throttle reasons"))


def nvmlDeviceGetComputeRunningProcesses(handle: int) -> list[SimpleNamespace]:
    if handle >= 100:
        pids = _answer(_whole(handle), "parts")[handle % 100]["processes"]
    else:
        pids = _answer(handle, "processes")
    return [SimpleNamespace(pid=pid, usedGpuMemory=None) for pid in pids]


def nvmlDeviceGetMPSComputeRunningProcesses(handle: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=None) for pid in _answer(_whole(handle), "mps processes")]


def nvmlDeviceGetFieldValues(handle: int, fields: list[int]) -> list[Any]:
    counters = _answer(handle, "counters")
    values = []
    for number in fields:
        value = _real.c_nvmlFieldValue_t()
        value.nvmlReturn = _real.NVML_SUCCESS if str(number) in counters else _real.NVML_ERROR_NOT_SUPPORTED
        value.value.ullVal = counters.get(str(number), 0)
        values.append(value)
    return values


for _name in [name for name in dir() if name.startswith("nvml") and callable(globals()[name])]:
    assert hasattr(_real, _name), f"pynvml has no {_name}"
