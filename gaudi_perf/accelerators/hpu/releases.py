"""Whether driver, plug-in, PyTorch and optimum-habana go together, as their makers have said (releases.toml)."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from pathlib import Path

from packaging.version import InvalidVersion, Version

from gaudi_perf.accelerators.base import Finding
from gaudi_perf.accelerators.host import installed
from gaudi_perf.vocabulary.releases import Release, decode_releases

FILE = Path(__file__).with_name("releases.toml")
"""The releases that are known, and what was validated together: the one file to edit when a new one is out."""
PLUGIN = "habana-torch-plugin"
"""The distribution whose version is SynapseAI's release and build."""
_COMPONENTS = (PLUGIN, "optimum-habana", "torch", "transformers", "deepspeed")


@functools.cache
def releases() -> tuple[Release, ...]:
    """SynapseAI's releases, oldest first, as releases.toml beside this module has them."""
    return tuple(decode_releases(FILE.read_bytes(), str(FILE)).release)


def release_of(version: Version, *, validated: bool = False) -> Release | None:
    """The release of a version: itself, else the newest known one before it of the same major and minor number.
    ``validated``: of those that name optimum-habana's versions.
    """
    for release in reversed(releases()):
        known = Version(release.synapse)
        if known <= version and known.release[:2] == version.release[:2] and (release.optimum_habana or not validated):
            return release
    return None


def synapse_version(text: str) -> Version | None:
    """The SynapseAI release in a driver's or plug-in's version: 1.18.0 of ``1.18.0-ee698fb`` or ``1.18.0.524``."""
    numbers = text.partition("-")[0].split(".")[:3]
    try:
        return Version(".".join(numbers)) if len(numbers) == 3 else None
    except InvalidVersion:
        return None


def installed_components() -> dict[str, str]:
    """The versions of the distributions that are a Gaudi's stack, without those that are not installed."""
    return {name: found for name in _COMPONENTS if (found := installed(name))}


def match_versions(versions: Mapping[str, str], drivers: Collection[str]) -> list[Finding]:
    """Driver and plug-in, PyTorch, optimum-habana: how each goes with the SynapseAI release of the plug-in.

    ``versions`` are those of ``installed_components``, ``drivers`` what hl-smi calls the devices' driver.
    """
    return [_driver(versions, drivers), _pytorch(versions, drivers), _optimum_habana(versions, drivers)]


def mismatches(versions: Mapping[str, str], drivers: Collection[str]) -> list[str]:
    """A sentence for everything that does not go together, with its remedy."""
    found = match_versions(versions, drivers)
    return [f"{one.check}: {one.found}: {one.remedy}" for one in found if one.status in ("warning", "unfit")]


def _driver(versions: Mapping[str, str], drivers: Collection[str]) -> Finding:
    check, plugin = "driver and plug-in", versions.get(PLUGIN)
    if plugin is None:
        remedy = "run in the vendor's container of the SynapseAI release; the plug-in is on no public registry"
        return Finding(check, "unfit", f"{PLUGIN} is not installed", remedy)
    if not drivers:
        return Finding(check, "unknown", f"plug-in {plugin}; no device reports its driver")
    found = f"driver {', '.join(sorted(drivers))}, plug-in {plugin}"
    of_plugin, of_drivers = synapse_version(plugin), {synapse_version(driver) for driver in drivers}
    known = {version for version in of_drivers if version is not None}
    if of_plugin is None or None in of_drivers:
        return Finding(check, "unknown", f"{found}: not versions of SynapseAI")
    if len(known) > 1 or min(known).release[:2] != of_plugin.release[:2]:
        remedy = f"install the driver of SynapseAI {of_plugin}, or run in the container of {min(known)}"
        return Finding(check, "unfit", f"{found}: of different releases", remedy)
    if known != {of_plugin}:
        remedy = f"install the driver of SynapseAI {of_plugin} to measure what its users have"
        return Finding(check, "warning", f"{found}: of different patch releases", remedy)
    return Finding(check, "ok", found)


def _pytorch(versions: Mapping[str, str], drivers: Collection[str]) -> Finding:
    torch, synapse = versions.get("torch"), synapse_version(versions.get(PLUGIN, ""))
    if torch is None:
        return Finding("PyTorch", "unfit", "is not installed", "run in the vendor's container")
    if is_emulated(drivers):
        return Finding("PyTorch", "ok", f"{torch}; the emulated Gaudi takes any")
    local = torch.partition("+")[2]
    if not ("hpu" in local or local.startswith("git")):
        remedy = "use the PyTorch of the vendor's container: pip must not replace it"
        return Finding("PyTorch", "unfit", f"{torch} is a stock build, on which lazy mode does not run", remedy)
    release = None if synapse is None else release_of(synapse)
    if release is None or not release.pytorch:
        return Finding("PyTorch", "unknown", f"{torch}; the PyTorch of SynapseAI {synapse or 'here'} is not known")
    if _parsed(torch).release[:2] != Version(release.pytorch).release[:2]:
        found = f"{torch}, and SynapseAI {release.synapse} is built for {release.pytorch}"
        return Finding("PyTorch", "unfit", found, f"use PyTorch {release.pytorch} of the vendor's container")
    return Finding("PyTorch", "ok", torch)


def _optimum_habana(versions: Mapping[str, str], drivers: Collection[str]) -> Finding:
    check, optimum = "optimum-habana", versions.get("optimum-habana")
    synapse = synapse_version(versions.get(PLUGIN, ""))
    if optimum is None:
        return Finding(check, "unfit", "is not installed", 'pip install -e ".[hpu]"')
    if is_emulated(drivers):
        return Finding(check, "ok", f"{optimum}; the emulated Gaudi takes any")
    release = None if synapse is None else release_of(synapse, validated=True)
    if release is None:
        of = f"SynapseAI {synapse}" if synapse else "no SynapseAI"
        return Finding(check, "unknown", f"{optimum}; none is known to be validated with {of}")
    first, last = release.version_span
    span = str(first) if first == last else f"{first} to {last}"
    if not first <= _parsed(optimum) <= last:
        found = f"{optimum}, and {span} was validated with SynapseAI {release.synapse}"
        return Finding(check, "warning", found, f'pip install "optimum-habana=={last}"')
    return Finding(check, "ok", f"{optimum}, validated with SynapseAI {release.synapse}")


def is_emulated(drivers: Collection[str]) -> bool:
    """An emulated Gaudi's driver says so."""
    return any("emulated" in driver for driver in drivers)


def _parsed(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")
