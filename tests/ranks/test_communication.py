"""Documents of any length reach the ranks that they are for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.ranks.conftest import ROOT

RANKS = 3
SPEAKER = """
import sys
from gaudi_perf.workers.rank.communication import Communication

def document(of, length):
    return bytes((of + at) % 251 for at in range(length))

said = Communication("gloo", sys.argv[1])
for length in map(int, sys.argv[2:]):
    got = said.broadcast(document(9, length) if said.rank == 0 else None)
    assert got == document(9, length), (said.rank, length, len(got))
    gathered = said.gather(document(said.rank, length * said.rank))
    expected = [document(rank, length * rank) for rank in range(said.ranks)] if said.rank == 0 else []
    assert gathered == expected, (length, list(map(len, gathered)))
said.close()
"""


def test_documents_of_any_length_arrive_whole(tmp_path: Path) -> None:
    lengths = ["0", "1", "8000", "100000", "3"]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", SPEAKER, f"file://{tmp_path / 'meeting'}", *lengths],
            env={**os.environ, "PYTHONPATH": str(ROOT), "RANK": str(rank), "WORLD_SIZE": str(RANKS)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(RANKS)
    ]
    try:
        for rank in ranks:
            rank.wait(timeout=600)
    finally:
        for rank in ranks:
            rank.kill()
        said = [rank.communicate()[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * RANKS, "\n".join(said)
