"""A static site from results and baselines: newest session, trends, comparisons; nothing is loaded from elsewhere.

Results are reduced to their levels (``records``), which are turned into the data of pages (``data``, ``build``) and
written where they changed (``writing``). Pages are opened from disk as well as from a server.
"""

from __future__ import annotations

from pathlib import Path

from gaudi_perf.reports.page.build import written_in
from gaudi_perf.reports.site.build import SiteBuilder
from gaudi_perf.reports.site.records import read_records
from gaudi_perf.reports.site.writing import SiteWriter
from gaudi_perf.reports.text import harmless
from gaudi_perf.vocabulary.errors import UserError


def write_site(
    output: Path, results: Path, baselines: Path, *, name: str = "", address: str = ""
) -> tuple[int, int, list[str]]:
    """Write a site, or what changed of it.

    Args:
        name: what the site is called; else gaudi-perf.
        address: where it is published, for the links of its feed; may be empty.

    Returns:
        How many sessions it has, how many files were written, and a sentence for everything that could not be read.

    Raises:
        UserError: there are no sessions to show, or a file cannot be written.
    """
    read = read_records(results)
    if not read.records.sessions:
        raise UserError(f"{results}: holds no session that can be read: measure first")
    problems = list(read.problems)
    builder = SiteBuilder(read.records, baselines, written_in(results, problems))
    writer = SiteWriter(output, harmless(name, 200) or "gaudi-perf", address)
    writer.write(builder, read.new)
    return len(read.records.sessions), writer.written, [*problems, *builder.problems]
