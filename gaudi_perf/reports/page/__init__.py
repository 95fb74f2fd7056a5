"""A session as one page: it needs no network, no server and no other file.

Documents are read (``stored``), turned into what is shown (``build``, ``facts``), and written into a template
(``render``), whose script draws the figures of a case when it is opened.
"""

from gaudi_perf.reports.page.render import session_page

__all__ = ["session_page"]
