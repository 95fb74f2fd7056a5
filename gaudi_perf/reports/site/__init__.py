"""A static site from results and baselines: newest session, trends, comparisons; nothing is loaded from elsewhere.

Results are reduced to their levels (``records``), which are turned into the data of pages (``data``, ``build``) and
written where they changed (``writing``). Pages are opened from disk as well as from a server.
"""

from gaudi_perf.reports.site.writing import write_site

__all__ = ["write_site"]
