"""SynapseAI releases, and the versions that go with them.

PyTorch by the support matrices of docs.habana.ai (Setup_and_Install r1.8.0 to r1.22.0) and vllm-gaudi's README (1.24);
optimum-habana by its tags' own "validated with" lines. Read on 2026-11-09.
"""

from __future__ import annotations

from collections.abc import Iterable

from packaging.version import InvalidVersion, Version

from gaudi_perf.vocabulary.documents import Document, Name


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
