"""How long it takes to read a long history: 100,000 run documents, without an index, and with one.

    python benchmarks/history.py --directory /tmp/history-benchmark

It writes the documents (half a GB) and removes them again. Each command is a process of its own; seconds are of the
wall clock, memory is the most that was resident. "cold index" means that there is none; the operating
system's cache of files is warm both times, unless --drop-caches (root) empties it before every command.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from gaudi_perf.stores.history import INDEX_FILE
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.documents import encode
from gaudi_perf.vocabulary.run import Measurement, Run, TokenTimes, WarmUp
from gaudi_perf.vocabulary.stack import Device, Host, Stack
from gaudi_perf.vocabulary.verdict import CaseReport, Reason, Session, Verdict, VerdictKind
from gaudi_perf.vocabulary.workload import Workload

ROUNDS = 20
RUNS_A_SESSION = 5
CONFIGURATIONS = [
    Configuration(model=model, devices=devices, graphs=graphs, kv_cache=cache)
    for model in ("bloomz7b", "bloomz560m")
    for devices in (1, 8)
    for graphs in (True, False)
    for cache in (True, False)
]
PROJECT = Path(__file__).parents[1]


def make_history(directory: Path, count: int) -> None:
    """Write run documents: daily sessions of 16 cases with 5 runs each, and a release every 30 sessions."""
    rng = np.random.default_rng(20260131)
    written = day = 0
    start = datetime(2020, 1, 1, tzinfo=timezone.utc)
    while written < count:
        at = start + timedelta(days=day)
        release = day // 30
        stack = Stack(
            kind="synapse", version=f"1.{release}.0", components={f"component-{n}": f"{release}.{n}" for n in range(12)}
        )
        session_id = f"{at:%Y%m%dT%H%M%S.%f}Z-{day:08x}"
        folder = directory / session_id
        folder.mkdir(parents=True)
        reports = []
        for configuration in CONFIGURATIONS:
            case = Case(
                configuration=configuration, accelerator="hpu", workload=Workload(), scale="full", weights="dummy"
            )
            slower = 1.08 if release >= 3 and configuration.devices == 8 else 1.0
            ids = []
            deviation = rng.normal(0, 0.005)
            for _ in range(min(RUNS_A_SESSION, count - written)):
                run = _run(rng, case, stack, session_id, at, written, slower * float(np.exp(deviation)))
                (folder / f"run-{run.run_id}.json").write_bytes(encode(run))
                ids.append(run.run_id)
                written += 1
            if ids:
                verdict = Verdict(
                    kind=VerdictKind.NO_BASELINE, reason=Reason.NO_BASELINE, text="there are no baselines"
                )
                reports.append(CaseReport(case=case, run_ids=ids, verdicts=[verdict]))
        stamp = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        session = Session(session_id=session_id, started_at=stamp, ended_at=stamp, cases=reports)
        (folder / "session.json").write_bytes(encode(session))
        day += 1


def _run(
    rng: np.random.Generator, case: Case, stack: Stack, session_id: str, at: datetime, number: int, level: float
) -> Run:
    latencies = np.round(level * np.exp(rng.normal(0, 0.004) + rng.normal(0, 0.003, ROUNDS)), 9).tolist()
    return Run(
        run_id=f"{session_id}-{number:08x}",
        session_id=session_id,
        started_at=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        case=case,
        device=Device(name="gaudi2", accelerator="hpu", memory_bytes=96 * 2**30, available=8),
        stack=stack,
        host=Host(cpu="Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", cores=160, memory_bytes=2**40, load=1.5),
        measurement=Measurement(
            latencies_s=latencies,
            probes_s=np.round(np.exp(rng.normal(-6, 0.01, ROUNDS)), 9).tolist(),
            warm_up=WarmUp(latencies_s=[2.0, 1.5, 1.2, 1.1], steady=True, reason="the last two are alike"),
            token_times=TokenTimes(first_token_s=latencies[:3], per_output_token_s=latencies[3:6]),
            peak_memory_bytes=17_000_000_000,
            token_ids=rng.integers(0, 250_000, 100).tolist(),
            phases_s={"start": 5.0, "load": 30.0, "rounds": 20.0},
        ),
    )


def timed(arguments: list[str], drop_caches: bool) -> str:
    """Run the command line; its seconds and the most memory that it had, as text."""
    if drop_caches:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    command = [sys.executable, "-m", "gaudi_perf", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    failed = "" if process.returncode == 0 else f"  EXIT STATUS {process.returncode}"
    return f"{seconds:6.2f} s  {usage.ru_maxrss / 1024:6.0f} MiB{failed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="run documents (default: 100000)")
    parser.add_argument("--directory", type=Path, help="where to write them (default: a temporary directory)")
    parser.add_argument("--drop-caches", action="store_true", help="empty the cache of files before each command")
    parser.add_argument("--keep", action="store_true", help="leave the documents there, and use them if they are")
    options = parser.parse_args()
    directory = (options.directory or Path(tempfile.mkdtemp(prefix="gaudi-perf-history-"))) / "results"
    if not directory.exists():
        begin = time.perf_counter()
        make_history(directory, options.count)
        print(f"{options.count} run documents written in {time.perf_counter() - begin:.0f} s")
    try:
        results = ["--results-dir", str(directory)]
        page = str(directory.parent / "report.html")
        rounds = str(directory.parent / "rounds.parquet")
        for title, arguments in (
            ("history, cold index", ["history", *results]),
            ("history, warm index", ["history", *results]),
            ("history without changes", ["history", "--no-changes", *results]),
            ("history --csv", ["history", "--csv", str(directory.parent / "runs.csv"), *results]),
            ("history --parquet", ["history", "--parquet", str(directory.parent / "runs.parquet"), *results]),
            ("history --rounds --parquet", ["history", "--rounds", "--parquet", rounds, *results]),
            ("report", ["report", *results]),
            ("report --html, cold index", ["report", "--html", page, *results]),
            ("report --html, warm index", ["report", "--html", page, *results]),
            ("baselines list", ["baselines", "list", "--baselines-dir", str(PROJECT / "baselines")]),
        ):  # fmt: skip
            if "cold" in title:
                (directory / INDEX_FILE).unlink(missing_ok=True)
            print(f"{title:28} {timed(arguments, options.drop_caches)}", flush=True)
        print(f"{'index':28} {(directory / INDEX_FILE).stat().st_size / 1e6:6.1f} MB")
    finally:
        if not options.keep:
            shutil.rmtree(directory.parent if options.directory is None else directory, ignore_errors=True)


if __name__ == "__main__":
    main()
