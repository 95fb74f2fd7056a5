"""Which GPUs there are, which of them CUDA_VISIBLE_DEVICES shows, and their names for documents."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from gaudi_perf.accelerators.host import output_of, rows_in

VISIBLE = "CUDA_VISIBLE_DEVICES"
_SLUGS = {
    "NVIDIA A100-SXM4-40GB": "a100-40gb",
    "NVIDIA A100-SXM4-80GB": "a100-80gb",
    "NVIDIA H100 80GB HBM3": "h100-80gb",
}


def nvidia_smi(*fields: str) -> list[list[str]]:
    """Rows of nvidia-smi's query, a list of the fields for each GPU; empty if there is no nvidia-smi or no GPU.

    It fails as a whole where one GPU is lost; the rows of the others are there all the same.
    """
    asked = f"--query-gpu={','.join(fields)}"
    return rows_in(output_of("nvidia-smi", asked, "--format=csv,noheader,nounits"), len(fields))


def shown_gpus(*fields: str) -> list[list[str]]:
    """The same of the GPUs that CUDA_VISIBLE_DEVICES shows, in its order."""
    return [fields for _, _, *fields in visible(nvidia_smi("index", "uuid", *fields))]


def visible(rows: Sequence[Any]) -> list[Any]:
    """Those of the rows (index, uuid, ...) that CUDA_VISIBLE_DEVICES shows, in its order.

    CUDA stops at the first entry that it does not know; an empty variable hides all. A part of a multi-instance GPU is
    on none of the rows; the first stands for it.
    """
    shown = os.environ.get(VISIBLE)
    if shown is None:
        return list(rows)
    if part_named():
        return list(rows[:1])
    named = (
        next((row for row in rows if entry and (row[0] == entry or row[1].startswith(entry))), None)
        for entry in map(str.strip, shown.split(","))
    )
    return list(takewhile(lambda row: row is not None, named))


def part_named() -> str:
    """The part of a multi-instance GPU that CUDA_VISIBLE_DEVICES names, if any: CUDA gives a process one, the first."""
    first = os.environ.get(VISIBLE, "").partition(",")[0].strip()
    return first if first.startswith("MIG-") else ""


def device_slug(product: str) -> str:
    """The name of a GPU for documents and directories: ``NVIDIA H100 80GB HBM3`` is ``h100-80gb``."""
    words = re.sub(r"[^a-z0-9.]+", "-", product.lower()).strip("-.")
    return _SLUGS.get(product) or words.removeprefix("nvidia-")[:80] or "gpu"
