"""How long the page of many cases and sessions takes to make, and how large it is.

    python benchmarks/report.py [--cases 1000] [--sessions 50]

writes made-up results into a temporary directory, which takes longer than the report, then times ``gaudi-perf report``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.reports.demonstration import Demonstration


def timed(words: list[str]) -> float:
    """Seconds of ``gaudi-perf report`` in a process of its own, imports included."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "gaudi_perf", "report", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[1])
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        made = Demonstration(Path(directory), cases=options.cases, sessions=options.sessions)
        made.write()
        page = Path(directory, "report.html")
        where = ["--results-dir", str(made.results.directory), "--baselines-dir", str(made.baselines.directory)]
        for what in ("first", "again"):  # the first reading makes the history's index
            taken = timed([*where, "--html", str(page)])
            print(f"page of {options.cases} cases and {options.sessions} sessions, {what}: {taken:.1f} s")
        print(f"size: {page.stat().st_size / 1e6:.2f} MB")
        print(f"summary in the terminal: {timed(where):.2f} s")


if __name__ == "__main__":
    main()
