"""What the doctor says."""

from __future__ import annotations

from typing import Literal

from gaudi_perf.vocabulary.documents import Document, Name

DOCTOR_SCHEMA = "gaudi-perf/doctor/1"

Status = Literal["ok", "warning", "unfit", "unknown"]
"""``warning``: latencies may suffer, or differ from what the vendor validated; ``unfit``: no result, or one that means
nothing; ``unknown``: this system does not tell."""


class Finding(Document, frozen=True):
    """One thing that was looked at.

    Attributes:
        check: what, for instance ``governor``.
        found: what was found, in a clause.
        remedy: what to do, as a command where there is one; empty if nothing.
    """

    check: Name
    status: Status
    found: str
    remedy: str = ""


class Diagnosis(Document, frozen=True, kw_only=True):
    """All findings, and what they come to."""

    schema: str = DOCTOR_SCHEMA
    accelerator: Literal["hpu", "cuda", "cpu"]
    fit: bool
    findings: list[Finding]
