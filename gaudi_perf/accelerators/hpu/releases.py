"""SynapseAI releases, and whether driver, plug-in, PyTorch and optimum-habana go together, as their makers have said.

PyTorch by the support matrices of docs.habana.ai (Setup_and_Install r1.8.0 to r1.22.0) and vllm-gaudi's README (1.24);
optimum-habana by its tags' own "validated with" lines. Read on 2026-11-09.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from packaging.version import InvalidVersion, Version

from gaudi_perf.accelerators.base import Finding
from gaudi_perf.accelerators.host import installed
from gaudi_perf.vocabulary.documents import Document, Name

PLUGIN = "habana-torch-plugin"
"""The distribution whose version is SynapseAI's release and build."""
_COMPONENTS = (PLUGIN, "optimum-habana", "torch", "transformers", "deepspeed")


class Release(Document, frozen=True):
    """A SynapseAI release like ``1.24.0``, of a day or a month like ``2026-04``; what is not known is empty.

    Attributes:
        pytorch: the PyTorch that its plug-in is built for.
        optimum_habana_from: the first version of optimum-habana that was validated with it.
        optimum_habana_to: the last one.
    """

    synapse: Name
    released: Name
    pytorch: str = ""
    optimum_habana_from: str = ""
    optimum_habana_to: str = ""


RELEASES: tuple[Release, ...] = (
    Release("1.8.0", "2023-02-01", "1.13.1", "1.4.0", "1.4.2"),
    Release("1.9.0", "2023-03-28", "1.13.1", "1.5.0", "1.5.1"),
    Release("1.10.0", "2023-05-30", "2.0.1", "1.6.0", "1.6.1"),
    Release("1.11.0", "2023-08-08", "2.0.1", "1.7.0", "1.7.5"),
    Release("1.12.0", "2023-10-04", "2.0.1", "1.8.0", "1.8.2"),
    Release("1.13.0", "2023-11-22", "2.1.0", "1.9.0", "1.9.0"),
    Release("1.14.0", "2024-01-23", "2.1.1", "1.10.0", "1.10.4"),
    Release("1.15.0", "2024-04-05", "2.2.0", "1.11.0", "1.11.1"),
    Release("1.16.0", "2024-06-05", "2.2.2", "1.12.0", "1.12.1"),
    Release("1.17.0", "2024-08-10", "2.3.1", "1.13.0", "1.13.2"),
    Release("1.18.0", "2024-10-11", "2.4.0", "1.14.0", "1.14.1"),
    Release("1.19.0", "2024-12-23", "2.5.1", "1.15.0", "1.15.0"),
    Release("1.20.0", "2025-02-26", "2.6.0", "1.16.0", "1.18.0"),
    Release("1.21.0", "2025-05-19", "2.6.0", "1.18.1", "1.18.1"),
    Release("1.22.0", "2025-09-04", "2.7.1", "1.19.0", "1.19.1"),
    Release("1.23.0", "2026-01-08", "2.9.0", "1.20.0", "1.20.0"),
    Release("1.24.0", "2026-04", "2.10", "1.21.0", "1.21.2"),
    Release("1.24.1", "2026-07", "2.11", "", ""),
    Release("1.24.2", "2026-10", "", "", ""),
)


def release_of(version: Version) -> Release | None:
    """The release of a version: itself, else the newest known one before it of the same major and minor number."""
    return _newest(RELEASES, version)


def validated_with(version: Version) -> Release | None:
    """The newest release up to a version, of the same major and minor number, that names optimum-habana's versions."""
    return _newest([item for item in RELEASES if item.optimum_habana_from], version)


def _newest(releases: Iterable[Release], last: Version) -> Release | None:
    known = {version: item for item in releases if (version := Version(item.synapse)) <= last}
    newest = max((version for version in known if version.release[:2] == last.release[:2]), default=None)
    return None if newest is None else known[newest]


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
    check, optimum, synapse = (
        "optimum-habana",
        versions.get("optimum-habana"),
        synapse_version(versions.get(PLUGIN, "")),
    )
    if optimum is None:
        return Finding(check, "unfit", "is not installed", 'pip install -e ".[hpu]"')
    if is_emulated(drivers):
        return Finding(check, "ok", f"{optimum}; the emulated Gaudi takes any")
    release = None if synapse is None else validated_with(synapse)
    if release is None:
        of = f"SynapseAI {synapse}" if synapse else "no SynapseAI"
        return Finding(check, "unknown", f"{optimum}; none is known to be validated with {of}")
    first, last = Version(release.optimum_habana_from), Version(release.optimum_habana_to)
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
