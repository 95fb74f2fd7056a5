"""The server that is emulated: one small document, written by the controller, read by every stand-in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

SETTINGS_VARIABLE = "EMULATED_GAUDI_SETTINGS"
FAULTS_VARIABLE = "EMULATED_GAUDI_FAULTS"

Generation = Literal["gaudi", "gaudi2", "gaudi3"]

MIB = 1024**2
GIB = 1024**3


class Product(msgspec.Struct, frozen=True):
    """What distinguishes a generation to software; clocks and powers are plausible, not measured."""

    device_name: str  # hpu.get_device_name()
    card: str  # the name that hl-smi and pyhlml give
    memory_bytes: int
    power_limit_watts: int
    clock_mhz: int


# Names: habana_frameworks' tests and hl-smi's documentation. Memory: the products' data sheets.
PRODUCTS: dict[str, Product] = {
    "gaudi": Product("GAUDI", "HL-205", 32 * GIB, 350, 1575),
    "gaudi2": Product("GAUDI2", "HL-225", 96 * GIB, 600, 1650),
    "gaudi3": Product("GAUDI3", "HL-325L", 128 * GIB, 900, 1600),
}

# Builds of published releases (the fourth number of the plug-in's version).
BUILDS = {
    **{"1.10.0": 494, "1.11.0": 587, "1.12.0": 480, "1.13.0": 463, "1.14.0": 493, "1.15.0": 479, "1.16.0": 526},
    **{"1.17.0": 495, "1.18.0": 524, "1.19.0": 561, "1.20.0": 543, "1.21.0": 555, "1.22.0": 740, "1.23.0": 695},
    **{"1.24.0": 1007, "1.24.1": 482, "1.24.2": 481},
}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One emulated server."""

    generation: Generation
    devices: int
    memory_bytes: int  # of each device
    synapse: str  # release, for instance "1.24.0"
    driver: str  # what the kernel driver calls itself, for instance "1.24.0-emulated"
    directory: str  # private; where processes publish what they hold

    @property
    def product(self) -> Product:
        """What the generation implies."""
        return PRODUCTS[self.generation]

    @property
    def plugin_version(self) -> str:
        """The version of habana-torch-plugin: the release and its build."""
        return f"{self.synapse}.{BUILDS.get(self.synapse, 0)}"

    @property
    def firmware(self) -> str:
        """What hl-smi calls itself; no firmware runs here, so its own version is zero."""
        return f"hl-{self.synapse}-fw-0.0.0.0"

    @property
    def lazy_by_default(self) -> bool:
        """Whether PT_HPU_LAZY_MODE is 1 where nobody sets it: so it was before SynapseAI 1.21."""
        major, minor = (int(part) for part in self.synapse.split(".")[:2])
        return (major, minor) < (1, 21)

    @property
    def processes_directory(self) -> Path:
        """Where each process on a device leaves ``<pid>.json`` and eight bytes of memory in use, ``<pid>.memory``."""
        return Path(self.directory) / "processes"

    def uuid(self, module: int) -> str:
        """The device's universal identifier, in the form of hl-smi's."""
        return f"01P0-EMULATED-{self.product.card}-{module:02d}"

    def serial(self, module: int) -> str:
        """The device's serial number."""
        return f"EMULATED{module:04d}"

    def bus_id(self, module: int) -> str:
        """The device's address on the PCI bus."""
        return f"0000:{0x33 + module:02x}:00.0"


def load(path: str | Path | None = None) -> Settings:
    """Reads the settings of this process.

    Args:
        path: the document; what EMULATED_GAUDI_SETTINGS names if not given.

    Raises:
        RuntimeError: the variable is not set, or the document is missing or wrong.
    """
    found = path or os.environ.get(SETTINGS_VARIABLE)
    if not found:
        raise RuntimeError(
            f"{SETTINGS_VARIABLE} is not set: start this process with what "
            "emulated_gaudi.control.environment() returns."
        )
    try:
        return msgspec.json.decode(Path(found).read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RuntimeError(f"{SETTINGS_VARIABLE} names {found}, which cannot be read: {error}") from error
