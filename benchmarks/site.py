"""How long the site of many cases and sessions takes: made from nothing, and with a further session.

    python benchmarks/site.py [--cases 1000] [--sessions 1000] [--directory DIR] [--keep]

writes a run document for every case and session (4 GB at 1,000 x 1,000), which takes minutes, then times
``gaudi-perf site`` in processes of its own.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.documents import encode
from gaudi_perf.vocabulary.run import Measurement, Run, TokenTimes, WarmUp
from gaudi_perf.vocabulary.stack import Device, Host, Stack
from gaudi_perf.vocabulary.verdict import CaseReport, Reason, Session, Verdict, VerdictKind
from tests.reports.demonstration import all_cases

PROJECT = Path(__file__).parents[1]
ROUNDS = 10
FIRST = datetime(2023, 1, 1, 1, 30, tzinfo=timezone.utc)
SESSIONS_A_RELEASE = 60


def stack_of(session: int) -> Stack:
    """A release every sixty sessions."""
    number = session // SESSIONS_A_RELEASE
    components = {f"component-{index}": f"{number}.{index}" for index in range(8)}
    return Stack(kind="synapse", version=f"1.{8 + number}.0", components=components)


class Maker:
    """Writes sessions; a run document is a template in which ids, times and latencies are exchanged."""

    def __init__(self, results: Path, cases: int) -> None:
        self._results, self._cases = results, list(itertools.islice(all_cases(), cases))
        self._dice = np.random.default_rng(20260131)
        self._level = np.exp(self._dice.normal(0, 1, cases))

    def write(self, number: int) -> None:
        """Write a session."""
        at, stack = FIRST + timedelta(days=number), stack_of(number)
        stamp, session_id = f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y%m%dT%H%M%S.%f}Z-{number:08x}"
        folder = self._results / session_id
        folder.mkdir(parents=True)
        slower = np.where((np.arange(len(self._cases)) % 9 == 0) & (number % 300 > 150), 1.08, 1.0)
        levels = self._level * slower * np.exp(self._dice.normal(0, 0.004, len(self._cases)))
        rounds = levels[:, None] * np.exp(self._dice.normal(0, 0.003, (len(self._cases), ROUNDS)))
        reports = []
        for index, (case, own) in enumerate(zip(self._cases, rounds.round(9).tolist(), strict=True)):
            run_id = f"{number:06d}-{index:06d}"
            before, after = self._template(case, stack)
            head = f'{{"schema": "gaudi-perf/run/1", "run_id": "{run_id}", "session_id": "{session_id}", '
            body = f'"started_at": "{stamp}", {before}{", ".join(map(str, own))}{after}'
            (folder / f"run-{run_id}.json").write_text(head + body)
            ratio = float(levels[index] / self._level[index])
            verdict = Verdict(
                kind=VerdictKind.REGRESSED if ratio > 1.06 else VerdictKind.UNCHANGED,
                reason=Reason.SLOWER if ratio > 1.06 else Reason.WITHIN_TOLERANCE,
                baseline="gaudi2/synapse-1.8.0", ratio=ratio, low=ratio * 0.98, high=ratio * 1.02, confidence=0.99,
                tolerance=0.05, baseline_median_s=float(self._level[index]), p_slower=0.0001, p_faster=0.9,
            )  # fmt: skip
            reports.append(CaseReport(case=case, run_ids=[run_id], verdicts=[verdict]))
        session = Session(session_id=session_id, started_at=stamp, ended_at=stamp, cases=reports)
        (folder / "session.json").write_bytes(encode(session))

    def _template(self, case: Case, stack: Stack) -> tuple[str, str]:
        """A run document from its case on, before and after the rounds."""
        run = Run(
            run_id="x",
            session_id="x",
            started_at="2026-01-31T00:00:00Z",
            case=case,
            device=Device(name="gaudi2", accelerator="hpu", memory_bytes=96 * 2**30, available=8),
            stack=stack,
            host=Host(cpu="Xeon 8380", cores=160, memory_bytes=2**40, load=1.5),
            measurement=Measurement(
                latencies_s=[1.25],
                warm_up=WarmUp(latencies_s=[2.0, 1.5, 1.2, 1.1], steady=True, reason="the last two are alike"),
                token_times=TokenTimes(first_token_s=[0.1, 0.11, 0.1], per_output_token_s=[0.01, 0.011, 0.01]),
                peak_memory_bytes=17_000_000_000,
                token_ids=list(range(100)),
                phases_s={"start": 5.0, "load": 30.0, "rounds": 20.0},
            ),
        )
        key = (id(case), stack.version)
        if key not in _TEMPLATES:
            text = msgspec.json.encode(run).decode()
            before, after = text[text.index('"case"') :].split('"latencies_s":[1.25]')
            _TEMPLATES.clear() if len(_TEMPLATES) > 20000 else None
            _TEMPLATES[key] = (f'{before}"latencies_s":[', f"]{after}")
        return _TEMPLATES[key]


_TEMPLATES: dict[tuple[int, str], tuple[str, str]] = {}


def timed(words: list[str]) -> str:
    """Run the command line; its seconds by the clock and of the processors, and the most memory of one process."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "gaudi_perf", *words], stdout=subprocess.DEVNULL, cwd=PROJECT)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    failed = "" if process.returncode == 0 else f"  EXIT STATUS {process.returncode}"
    busy = usage.ru_utime + usage.ru_stime
    return f"{seconds:7.1f} s  {busy:7.1f} s of processors  {usage.ru_maxrss / 1024:6.0f} MiB{failed}"


def sizes(site: Path) -> Iterator[str]:
    """How large the site is, and the pages that somebody opens."""
    files = [file for file in site.rglob("*") if file.is_file()]
    yield f"site: {len(files)} files, {sum(file.stat().st_size for file in files) / 1e6:.0f} MB"
    for part in ("index.html", "data/index.js", "data/names.js", "data/releases.js", "data/sessions.js"):
        yield f"{part}: {(site / part).stat().st_size / 1e3:.0f} kB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--directory", type=Path, help="where to write (default: a temporary directory)")
    parser.add_argument("--keep", action="store_true", help="leave everything there, and use results that are there")
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="gaudi-perf-site-"))
    results, site = directory / "results", directory / "site"
    try:
        maker, there = Maker(results, options.cases), len(list(results.glob("2*"))) if results.is_dir() else 0
        begin = time.perf_counter()
        for number in range(there, options.sessions):
            maker.write(number)
        print(f"{options.sessions - there} sessions written in {time.perf_counter() - begin:.0f} s", flush=True)
        words = [
            "site",
            "--output",
            str(site),
            "--results-dir",
            str(results),
            "--baselines-dir",
            str(directory / "none"),
        ]
        shutil.rmtree(site, ignore_errors=True)
        (results / ".site-index").unlink(missing_ok=True)
        time.sleep(3)  # a directory that has just changed is not kept in the index
        print(f"{'from nothing':24} {timed(words)}", flush=True)
        print(f"{'nothing new':24} {timed(words)}", flush=True)
        maker.write(max(options.sessions, there))
        print(f"{'a further session':24} {timed(words)}", flush=True)
        print("\n".join(sizes(site)))
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
