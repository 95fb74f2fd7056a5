"""EMULATED pyhlml: the functions of habana-pyhlml 1.24 that a monitor needs, answered from the emulated server.

Values have pyhlml's types (bytes, ints, structures with its field names) and units. A function that is not here
raises HLMLError_NotSupported, as libhlml does for what a device lacks.
"""

import ctypes
from types import SimpleNamespace as _Namespace

from emulated_gaudi.monitor import Monitor
from emulated_gaudi.settings import load

HLML_SUCCESS, HLML_ERROR_UNINITIALIZED, HLML_ERROR_INVALID_ARGUMENT, HLML_ERROR_NOT_SUPPORTED = 0, 1, 2, 3
HLML_ERROR_NOT_FOUND = 6


class HLMLError(Exception):
    def __init__(self, value, message=""):
        self.value = value
        super().__init__(message or f"HLML error {value}")


class HLMLError_Uninitialized(HLMLError):
    def __init__(self):
        super().__init__(HLML_ERROR_UNINITIALIZED, "Uninitialized")


class HLMLError_InvalidArgument(HLMLError):
    def __init__(self):
        super().__init__(HLML_ERROR_INVALID_ARGUMENT, "Invalid argument")


class HLMLError_NotSupported(HLMLError):
    def __init__(self, what=""):
        super().__init__(HLML_ERROR_NOT_SUPPORTED, f"Not supported: {what} is not emulated")


class HLMLError_NotFound(HLMLError):
    def __init__(self):
        super().__init__(HLML_ERROR_NOT_FOUND, "Not found")


class c_hlml_utilization(ctypes.Structure):
    _fields_ = [("aip", ctypes.c_uint), ("memory", ctypes.c_uint)]


class c_hlml_memory(ctypes.Structure):
    _fields_ = [("free", ctypes.c_ulonglong), ("total", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class c_hlml_violation_time(ctypes.Structure):
    _fields_ = [("reference_time", ctypes.c_ulonglong), ("violation_time", ctypes.c_ulonglong)]


class c_hlml_ecc_mode(ctypes.Structure):
    _fields_ = [("current", ctypes.c_uint), ("pending", ctypes.c_uint)]


_state = _Namespace(monitor=None, references=0)


def hlmlInit():
    _state.monitor = _state.monitor or Monitor(load())
    _state.references += 1


def hlmlInitWithFlags(flags=0):
    hlmlInit()


def hlmlShutdown():
    _monitor()
    _state.references = 0
    _state.monitor = None


def _monitor():
    if _state.monitor is None:
        raise HLMLError_Uninitialized()
    return _state.monitor


def _module(device):
    monitor = _monitor()
    if not isinstance(device, ctypes.c_void_p) or not 0 < (device.value or 0) <= monitor.settings.devices:
        raise HLMLError_InvalidArgument()
    return device.value - 1


def _reading(device):
    return _monitor().read(_module(device))


def hlmlDeviceGetCount():
    return _monitor().settings.devices


def hlmlDeviceGetHandleByIndex(index):
    if not 0 <= index < _monitor().settings.devices:
        raise HLMLError_InvalidArgument()
    return ctypes.c_void_p(index + 1)


def _by(kind, wanted):
    wanted = wanted.decode() if isinstance(wanted, bytes) else wanted
    settings = _monitor().settings
    for module in range(settings.devices):
        if wanted == getattr(settings, kind)(module):
            return ctypes.c_void_p(module + 1)
    raise HLMLError_NotFound()


def hlmlDeviceGetHandleByPCIBusID(pci_addr):
    return _by("bus_id", pci_addr)


def hlmlDeviceGetHandleByUUID(uuid):
    return _by("uuid", uuid)


def hlmlDeviceGetName(device):
    _module(device)
    return _monitor().settings.product.card.encode()


def hlmlDeviceGetUUID(device):
    return _monitor().settings.uuid(_module(device)).encode()


def hlmlDeviceGetSerial(device):
    return _monitor().settings.serial(_module(device)).encode()


def hlmlDeviceGetModelNumber(device):
    _module(device)
    return b"EMULATED"


def hlmlDeviceGetModuleID(device):
    return _module(device)


def hlmlDeviceGetMinorNumber(device):
    return _module(device)


def hlmlDeviceGetClockInfo(device, clock_type=0):
    return _reading(device).clock_mhz


def hlmlDeviceGetMaxClockInfo(device, clock_type=0):
    _module(device)
    return _monitor().settings.product.clock_mhz


def hlmlDeviceGetClockLimitInfo(device, clock_type=0):
    return hlmlDeviceGetMaxClockInfo(device, clock_type)


def hlmlDeviceGetUtilizationRates(device):
    reading = _reading(device)
    total = _monitor().settings.memory_bytes
    return c_hlml_utilization(reading.utilization_percent, reading.memory_used_bytes * 100 // total)


def hlmlDeviceGetMemoryInfo(device):
    used, total = _reading(device).memory_used_bytes, _monitor().settings.memory_bytes
    return c_hlml_memory(total - used, total, used)


def hlmlDeviceGetTemperature(device, sensor_type):
    return _reading(device).temperature_celsius


def hlmlDeviceGetTemperatureThreshold(device, threshold_type):
    _module(device)
    return (115, 100, 105, 105)[threshold_type]


def hlmlDeviceGetPowerUsage(device):
    return _reading(device).power_milliwatts


def hlmlDeviceGetPowerManagementDefaultLimit(device):
    _module(device)
    return _monitor().settings.product.power_limit_watts * 1000


def hlmlDeviceGetPowerManagementLimit(device):
    return hlmlDeviceGetPowerManagementDefaultLimit(device)


def hlmlDeviceGetCurrentClocksThrottleReasons(device):
    return _reading(device).throttle_reasons


def hlmlDeviceGetViolationStatus(device, perf_policy):
    bit = 1 << perf_policy
    return c_hlml_violation_time(0, 1 if _reading(device).throttle_reasons & bit else 0)


def hlmlDeviceGetECCMode(device):
    _module(device)
    return c_hlml_ecc_mode(1, 1)


def hlmlDeviceGetTotalECCErrors(device, error_type, counter_type):
    _module(device)
    return 0


def hlmlGetHLMLVersion():
    return _monitor().settings.firmware.encode()


def hlmlGetDriverVersion():
    return _monitor().settings.driver.encode()


def hlmlDeviceGetFirmwareFITVersion(device):
    _module(device)
    return _monitor().settings.firmware.encode()


def hlmlDeviceGetFirmwareSPIVersion(device):
    return hlmlDeviceGetFirmwareFITVersion(device)


def __getattr__(name):
    if name.startswith("hlml"):

        def not_supported(*args, **kwargs):
            raise HLMLError_NotSupported(name)

        return not_supported
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
