"""What a rank agent passes on of its rank's output."""

from __future__ import annotations

import os
import select

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_perf.protocol import REPORT, RankReport
from gaudi_perf.workers.rank.agent import RankAgent

PIECE = 900
PREFIX = "[rank 1] "


@pytest.mark.parametrize(
    ("written", "passed_on"),
    [
        ("short\n\nlast", ["short", "", "last"]),
        ("x" * PIECE + "\n", ["x" * PIECE]),
        ("x" * 2 * PIECE + "y\nnext\n", ["x" * PIECE, "x" * PIECE, "y", "next"]),
    ],
)
def test_long_lines_are_passed_on_in_pieces(
    capfd: pytest.CaptureFixture[str], written: str, passed_on: list[str]
) -> None:
    reader, writer = os.pipe()
    os.write(writer, written.encode())
    os.close(writer)
    agent = RankAgent(1, "")
    while agent._pass_on(reader):
        pass
    os.close(reader)
    assert capfd.readouterr().out.split("\n") == [*(PREFIX + line for line in passed_on), ""]
    assert agent._last == written.strip().rpartition("\n")[2], "the last line is reported whole"


@given(last=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=500))
def test_a_report_is_short_enough_to_be_written_at_once(last: str) -> None:
    """What two processes write into a pipe at once is not mixed up to this length (pipe(7))."""
    report = RankReport(rank=127, host="h" * 64, pid=1 << 22, stopped=True, ended=-64, last=last)
    assert len(REPORT.encode() + msgspec.json.encode(report)) + 1 <= select.PIPE_BUF
    assert len(PREFIX) + PIECE + 1 <= select.PIPE_BUF
