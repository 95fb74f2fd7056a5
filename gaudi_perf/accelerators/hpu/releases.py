"""Whether driver, plug-in, PyTorch and optimum-habana go together, as their makers have said (releases.toml)."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from packaging.version import InvalidVersion, Version

from gaudi_perf.accelerators.base import Finding, Status
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


def match_versions(versions: Mapping[str, str], drivers: Collection[str]) -> Iterator[Finding]:
    """Driver and plug-in, PyTorch, optimum-habana: how each goes with the SynapseAI release of the plug-in.

    ``versions`` are those of ``installed_components``, ``drivers`` what hl-smi calls the devices' driver.
    """
    yield _driver(versions.get(PLUGIN), drivers)
    synapse = synapse_version(versions.get(PLUGIN, ""))
    for check, name, remedy, matched in (
        ("PyTorch", "torch", "run in the vendor's container", _pytorch),
        ("optimum-habana", "optimum-habana", 'pip install -e ".[hpu]"', _optimum_habana),
    ):
        found = versions.get(name)
        if found is None:
            yield Finding(check, "unfit", "is not installed", remedy)
        elif is_emulated(drivers):
            yield Finding(check, "ok", f"{found}; the emulated Gaudi takes any")
        else:
            yield Finding(check, *matched(found, synapse))


def mismatches(versions: Mapping[str, str], drivers: Collection[str]) -> list[str]:
    """A sentence for everything that does not go together, with its remedy."""
    found = match_versions(versions, drivers)
    return [f"{one.check}: {one.found}: {one.remedy}" for one in found if one.status in ("warning", "unfit")]


def _driver(plugin: str | None, drivers: Collection[str]) -> Finding:
    check = "driver and plug-in"
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


def _pytorch(torch: str, synapse: Version | None) -> tuple[Status, str, str]:
    local = torch.partition("+")[2]
    if not ("hpu" in local or local.startswith("git")):
        remedy = "use the PyTorch of the vendor's container: pip must not replace it"
        return "unfit", f"{torch} is a stock build, on which lazy mode does not run", remedy
    release = None if synapse is None else release_of(synapse)
    if release is None or not release.pytorch:
        return "unknown", f"{torch}; the PyTorch of SynapseAI {synapse or 'here'} is not known", ""
    if _parsed(torch).release[:2] != Version(release.pytorch).release[:2]:
        found = f"{torch}, and SynapseAI {release.synapse} is built for {release.pytorch}"
        return "unfit", found, f"use PyTorch {release.pytorch} of the vendor's container"
    return "ok", torch, ""


def _optimum_habana(optimum: str, synapse: Version | None) -> tuple[Status, str, str]:
    release = None if synapse is None else release_of(synapse, validated=True)
    if release is None:
        of = f"SynapseAI {synapse}" if synapse else "no SynapseAI"
        return "unknown", f"{optimum}; none is known to be validated with {of}", ""
    first, last = release.version_span
    span = str(first) if first == last else f"{first} to {last}"
    if not first <= _parsed(optimum) <= last:
        found = f"{optimum}, and {span} was validated with SynapseAI {release.synapse}"
        return "warning", found, f'pip install "optimum-habana=={last}"'
    return "ok", f"{optimum}, validated with SynapseAI {release.synapse}", ""


def is_emulated(drivers: Collection[str]) -> bool:
    """An emulated Gaudi's driver says so."""
    return any("emulated" in driver for driver in drivers)


def _parsed(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")
