"""The stack of a Gaudi: SynapseAI's release, driver, firmware, every component, settings as they take effect."""

from __future__ import annotations

import os
import platform
from contextlib import suppress

from gaudi_perf.accelerators.hpu import hl_smi
from gaudi_perf.accelerators.hpu.releases import PLUGIN, installed_components, mismatches
from gaudi_perf.accelerators.hpu.telemetry import opened
from gaudi_perf.vocabulary.stack import Stack

# Settings that change the latency, with the value that counts where a variable is not set (flags of SynapseAI 1.19).
_SETTINGS = {
    "PT_HPU_ENABLE_LAZY_COLLECTIVES": "false",
    "PT_HPU_MAX_COMPOUND_OP_SIZE": "default",
    "PT_HPU_RECIPE_CACHE_CONFIG": "none",
    "PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES": "false",
    "PT_HPU_POOL_MEM_ACQUIRE_PERC": "100",
    "PT_ENABLE_INT64_SUPPORT": "false",
    "LD_PRELOAD": "none",
    "OMP_NUM_THREADS": "default",
}


def synapse_stack(lazy: bool) -> Stack:
    """The stack of this process; whether it is in lazy mode says the bridge, whatever the variables say."""
    versions = installed_components()
    release, _, build = versions.get(PLUGIN, "none").rpartition(".")
    driver: dict[str, str] = {}
    with suppress(Exception), opened() as hlml:  # pyhlml's own kinds, and ImportError: it is optional
        driver["driver"] = hlml.hlmlGetDriverVersion().decode()
        driver["firmware"] = hlml.hlmlDeviceGetFirmwareFITVersion(hlml.hlmlDeviceGetHandleByIndex(0)).decode()
    if "driver" not in driver:
        driver["driver"] = next((row[0] for row in hl_smi.query("driver_version")), "unknown")
    components = {
        "synapse-build": build,
        "python": platform.python_version(),
        "pytorch": versions.get("torch", "none"),
        **{name: versions.get(name, "none") for name in ("transformers", "optimum-habana", "deepspeed")},
        **driver,
    }
    settings = {name: os.environ.get(name) or default for name, default in _SETTINGS.items()}
    settings["lazy-mode"] = str(lazy).lower()
    return Stack(
        kind="synapse",
        version=release,
        components=components,
        settings=settings,
        mismatches=mismatches(versions, [driver["driver"]]),
    )
