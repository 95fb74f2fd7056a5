"""Where a session came from: the commit, the CI's run and the pull request that started it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gaudi_perf.vocabulary.documents import Document, Name

Address = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s@\"'<>\\]{1,1000}\Z")]
"""An address of the web, without a user's name or password in it."""


class Origin(Document, frozen=True, kw_only=True):
    """What a CI said of the run in which the suite was started; what it did not say is empty or null.

    Attributes:
        system: for instance ``GitHub Actions``.
        change: the pull or merge request as people call it, ``#12`` or ``!12``.
    """

    system: Name
    commit: str = ""
    commit_url: Address | None = None
    run_url: Address | None = None
    change: str = ""
    change_url: Address | None = None
