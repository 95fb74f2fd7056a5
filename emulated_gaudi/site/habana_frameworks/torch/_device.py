"""Loads the compiled device, makes it what the settings say, and applies the faults that are set."""

import atexit
import importlib.util
import json
import os
import sys
from pathlib import Path

from emulated_gaudi.build import MODULE, build
from emulated_gaudi.settings import FAULTS_VARIABLE, load
from emulated_gaudi.faults import Reader


class NotEmulatedError(NotImplementedError, AttributeError):
    """The bridge has it, the emulation does not; an AttributeError, so that hasattr() says so too."""

    def __init__(self, what):
        super().__init__(f"{what} is not emulated (docs/emulated_gaudi.md lists what is)")


settings = load()
# Named after what the bridge names them; the numbers are those of clockwork.h's Fault.
_FAULTS = {
    "crash": 0,
    "hang": 1,
    "out_of_memory": 2,
    "compilations": 3,
    "cpu_fallbacks": 4,
    "recipe_cache_misses": 5,
    "defragmentations": 6,
}


def _load_native():
    path = build()
    spec = importlib.util.spec_from_file_location(MODULE, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[MODULE] = module
    return module


def is_lazy():
    if is_lazy._is_lazy is None:
        is_lazy._is_lazy = os.getenv("PT_HPU_LAZY_MODE", "1" if settings.lazy_by_default else "0") != "0"
    return is_lazy._is_lazy


is_lazy._is_lazy = None


def visible_modules():
    named = os.getenv("HABANA_VISIBLE_MODULES")
    return [int(m) for m in named.split(",")] if named else list(range(settings.devices))


def module_index():
    """Which device this process owns: HLS_MODULE_ID, else the LOCAL_RANK-th visible one, else the first visible."""
    modules = visible_modules()
    named = os.getenv("HLS_MODULE_ID")
    local_rank = int(os.getenv("LOCAL_RANK", "0"))
    if named is None and not 0 <= local_rank < len(modules):
        raise RuntimeError(f"LOCAL_RANK is {local_rank}, but this server has {len(modules)} (emulated) devices")
    module = int(named) if named is not None else modules[local_rank]
    if not 0 <= module < settings.devices:
        raise RuntimeError(f"There is no (emulated) device with module id {module}: there are {settings.devices}")
    return module


native = _load_native()
index = module_index()
rank = int(os.getenv("RANK", os.getenv("OMPI_COMM_WORLD_RANK", "0")))
_faults_file = Reader(os.environ.get(FAULTS_VARIABLE))


def start():
    """Makes the device and announces this process to hl-smi. Called once, by habana_frameworks.torch."""
    lazy_collectives = os.getenv("PT_HPU_ENABLE_LAZY_COLLECTIVES", "false").lower() in ("true", "1")
    native.start(settings.devices, index, settings.memory_bytes, rank, is_lazy(), lazy_collectives)
    home = settings.processes_directory
    announcement, memory = home / f"{os.getpid()}.json", home / f"{os.getpid()}.memory"
    native.publish_memory(str(memory))
    name = Path(sys.argv[0] or "python").name if sys.argv else "python"
    announcement.write_text(json.dumps({"pid": os.getpid(), "module": index, "name": name}))
    atexit.register(_leave, os.getpid(), announcement, memory)
    apply_faults()


def _leave(pid, *files):
    if os.getpid() == pid:
        for file in files:
            file.unlink(missing_ok=True)


def apply_faults():
    """Applies the document of faults if it has changed. Cheap: one stat."""
    if not _faults_file.refresh():
        return
    due = []
    for graphs in (True, False):
        faults = _faults_file.document.matching(graphs=graphs, **_seen())
        seconds = max((f.operation_microseconds for f in faults), default=0.0) / 1e6
        native.set_slowness(graphs, sum(f.slower for f in faults), sum(f.noise for f in faults), seconds)
    # Whether graphs are replayed is not known yet: what falls due later cannot depend on it unless a label says so.
    for fault in _faults_file.document.matching(**_seen()):
        for name, number in _FAULTS.items():
            if amount := int(getattr(fault, name)):
                due.append((number, fault.after_operations, fault.after_operations if fault.repeat else 0, amount))
    native.set_faults(due)


def _seen():
    return {"rank": rank, "module": index, "synapse": settings.synapse, "generation": settings.generation}


def synchronize():
    apply_faults()
    native.synchronise()
