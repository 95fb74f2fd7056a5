"""Everything that is asked of the CUDA engine, on this machine's GPUs, in one command: ``python benchmarks/cuda.py``.

BLOOMZ-7B with dummy weights, 100 new tokens: eager and graphs, with and without the KV cache; every step that graphs
can be made of; the spread between runs in fresh processes; tokens in float32; all GPUs together where there are
several; then the suite itself, ``pytest perf_tests -k bloomz7b``, which stores the baselines of this GPU. The last
table reports for each requirement whether it was met.

Each job is a process of its own, and writes every variant to its file when it is measured: a failure, of the GPU too,
loses nothing that was measured before, and ``--resume`` goes on from there. Without a GPU,
``--engine cpu --model bloomz560m --scale standin`` rehearses it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cuda_jobs import Job, run_job, spec_of, write
from cuda_report import ALL, fastest_step, report

from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.accelerators.cuda.steps import DEFAULT_STEP, STEP, STEPS
from gaudi_perf.stores.results import read_runs
from gaudi_perf.vocabulary.models import shipped_model

SHORTEST_S = 30.0
"""A job of less is not begun."""
ROOT = Path(__file__).resolve().parents[1]
sys.path.remove(str(ROOT / "benchmarks"))  # torch looks for NVIDIA's package, which has the name of this file
BASE = ("engine", "model", "scale", "dtype", "new_tokens", "rounds")


def main() -> None:
    arguments = parsed()
    if arguments.job:
        run_job(json.loads(arguments.job), arguments.json)
        return
    found = accelerator_named(arguments.engine, processes=arguments.processes).find()
    if found is None:
        sys.exit(accelerator_named(arguments.engine).none_found)
    print(Benchmark(arguments, found.count).run())
    print(f"written: {arguments.json}")


class Benchmark:
    """All jobs, in order, within the time that there is."""

    def __init__(self, arguments: argparse.Namespace, devices: int) -> None:
        self._arguments = arguments
        self._devices = devices
        self._started = time.monotonic()
        self._jobs: list[Job] = []
        self._suite: dict[str, Any] = {}
        self._before: dict[str, Any] = {}
        if arguments.resume and arguments.json.is_file():
            self._before = json.loads(arguments.json.read_text())

    def run(self) -> str:
        """Measure everything; what is to be printed."""
        options = self._arguments
        cached = ["eager-kvcache", "graphs-kvcache"]
        self._do("run 1")
        for step in STEPS if options.engine == "cuda" else ():
            if step != DEFAULT_STEP:
                self._do(f"step {step}", step=step, variants=["graphs-kvcache"])
        best = fastest_step(self._jobs)
        if best != DEFAULT_STEP:  # perhaps because the default fails here
            self._do(f"without cache, {best}", step=best, variants=["graphs-nocache"])
        for run in range(2, options.runs + 1):
            self._do(f"run {run}", step=best, variants=cached)
        self._do("tokens in float32", model=options.small, dtype="float32", step=best, rounds=1)
        group = self._group_size()
        if group > 1:
            self._do(f"{group} devices", step=best, devices=group, variants=cached)
            exact = {"model": options.small, "dtype": "float32", "rounds": 1}
            self._do(f"{group} in float32", step=best, devices=group, variants=cached, **exact)
        self._run_suite(best, group)
        return report(self._jobs, best, self._suite)

    def _left(self) -> float:
        return float(self._arguments.budget - (time.monotonic() - self._started))

    def _keep(self) -> None:
        write(self._arguments.json, {"jobs": self._jobs, "suite": self._suite})

    def _group_size(self) -> int:
        """The most devices among which the heads of both models divide."""
        options = self._arguments
        heads = [shipped_model(name).at(options.scale).heads for name in (options.model, options.small)]
        return max(count for count in range(1, self._devices + 1) if not any(each % count for each in heads))

    def _do(self, what: str, **changes: Any) -> None:
        options = self._arguments
        base = {name: getattr(options, name) for name in BASE}
        asked = {**base, "step": DEFAULT_STEP, "variants": list(ALL), "devices": 1, "limit": options.limit, **changes}
        asked["what"] = what
        job = self._done_before(asked)
        if job is None and self._left() < SHORTEST_S:
            job = {**asked, "failed": "left out, for lack of time: see --budget"}
        elif job is None:
            job = done(asked, min(options.limit, self._left()))
        self._jobs.append(job)
        self._keep()
        said = job.get("failed") or "done"
        print(f"{what}: {said}; {self._left():.0f} s of {options.budget:.0f} s left", flush=True)

    def _done_before(self, asked: Job) -> Job | None:
        """The same job of a run that broke off, if all of it was measured."""
        for job in self._before.get("jobs", ()):
            whole = "failed" not in job and all(
                "failed" not in job["results"].get(name, {"failed": ""}) for name in asked["variants"]
            )
            if whole and {name: job.get(name) for name in asked} == asked:
                return dict(job)
        return None

    def _run_suite(self, step: str, group: int) -> None:
        options = self._arguments
        if options.suite_budget < SHORTEST_S:
            self._suite = {"left out": "see --suite-budget"}
        else:
            self._suite = suite(options, step, [1, group] if group > 1 else [1])
        self._keep()
        print(f"suite: {self._suite.get('last', 'left out')}", flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--model", default="bloomz7b")
    parser.add_argument("--small", default="bloomz560m", help="the model whose tokens are compared in float32")
    parser.add_argument("--scale", default="full", choices=["full", "standin"])
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--new-tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7, help="that count, of every variant")
    parser.add_argument("--runs", type=int, default=3, help="fresh processes of eager and graphs with the cache")
    parser.add_argument("--processes", type=int, default=1, help="of the CPU, as if each had a device")
    parser.add_argument("--limit", type=float, default=420.0, help="seconds that a job may take")
    parser.add_argument("--budget", type=float, default=1500.0, help="seconds that all jobs may take")
    parser.add_argument(
        "--suite-budget", type=float, default=1500.0, help="seconds that the suite may take; 0: left out"
    )
    parser.add_argument("--suite-runs", type=int, default=5, help="runs of each case, which become its baseline")
    parser.add_argument("--baselines-dir", type=Path, help="default: baselines/; on the CPU one beside --json")
    parser.add_argument("--json", type=Path, default=Path("cuda-benchmark.json"), help="where all numbers go")
    parser.add_argument("--resume", action="store_true", help="take from --json what was measured already")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


def done(job: Job, limit: float) -> Job:
    """The job with its results; with why it failed, and what was measured until then."""
    accelerator = accelerator_named(job["engine"], processes=job["devices"])
    with tempfile.TemporaryDirectory(prefix="gaudi-perf-") as place:
        directory = Path(place)
        file = directory / "job.json"
        added = {**accelerator.environment(spec_of(job), directory), STEP: job["step"]}
        command = [
            sys.executable,
            str(Path(__file__).resolve()),
            "--json",
            str(file),
            "--job",
            json.dumps({**job, "limit": limit}),
        ]
        status, last = run(command, {**os.environ, **added}, limit)
        kept = json.loads(file.read_text()) if file.is_file() else {}
        result = {**kept, **job}
    if status is None:
        return {**result, "failed": f"not done after {limit:.0f} s"}
    return {**result, "failed": f"exit status {status}: {last[:300]}"} if status else result


def run(command: list[str], environment: dict[str, str], limit: float) -> tuple[int | None, str]:
    """Exit status (None: ended for lack of time) and last line of a command, which is ended with all it has started."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status: int | None = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            status = None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        if status is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.seek(0)
        return status, (log.read().strip().splitlines() or [""])[-1].strip()


def suite(options: argparse.Namespace, step: str, devices: list[int]) -> dict[str, Any]:
    """``pytest perf_tests`` on all cases of the model, which stores baselines: how it ended, and what is there then."""
    beside = options.json.resolve().parent
    default = ROOT / "baselines" if options.engine == "cuda" else beside / "baselines"
    baselines = (options.baselines_dir or default).resolve()
    results = beside / f"{options.json.stem}-results" / time.strftime("%Y%m%dT%H%M%S")
    begun = time.time()
    command = [sys.executable, "-m", "pytest", "perf_tests", "-q", "-p", "no:cacheprovider", "-k", options.model]
    command += ["--accelerator", options.engine, "--scale", options.scale, "--devices", ",".join(map(str, devices))]
    command += ["--dtype", options.dtype, "--new-tokens", str(options.new_tokens), "--runs", str(options.suite_runs)]
    command += ["--refresh-baselines", "--baselines-dir", str(baselines), "--results-dir", str(results)]
    status, last = run(command, {**os.environ, STEP: step}, options.suite_budget)
    cases = {each.case.id for each in read_runs(results).runs if not each.measurement.problems}
    files = [path for path in baselines.glob("*/*.json") if path.stat().st_mtime >= begun]
    stored = [case for path in files for case in json.loads(path.read_text())["cases"]]
    return {
        "model": options.model,
        "status": status,
        "last": last,
        "measured": len(cases),
        "stored": len(stored),
        "files": [str(path.relative_to(baselines)) for path in files],
    }


if __name__ == "__main__":
    main()
