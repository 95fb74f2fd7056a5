"""A hundred seeded faults: signals to pytest, to workers and to ranks, at random moments of a session.

After each fault no process and no file may be left, ``gaudi-perf report`` must read the session, and the cause must be
named. The engine follows a script; processes, sockets and files are real.

    python benchmarks/faults.py --faults 100 --seed 1
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from gaudi_perf.workers.controller.processes import alive, marked
from gaudi_perf.workers.controller.workspace import remove_abandoned

ROOT = Path(__file__).parents[1]
HOW = {
    "killed": (signal.SIGKILL,),
    "stopped": (signal.SIGSTOP,),
    "terminated": (signal.SIGTERM,),
    "interrupted": (signal.SIGINT,),
    "interrupted twice": (signal.SIGINT, signal.SIGINT),
}
PAUSE = 3.0  # seconds for which pytest is stopped; a worker or rank stays so
SCRIPT = {"engine": "scripted", "seconds": {"eager": 0.05}, "sleep": True}
# What the shell starts in the background ignores SIGINT, and so would what it starts.
INTERRUPTIBLE = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass
class Outcome:
    """What a fault came to; ``problems`` is empty if all is as it should be."""

    victim: str
    how: str
    devices: int
    seconds: float
    problems: list[str]


def victims(process: psutil.Popen) -> Iterator[tuple[str, psutil.Process]]:
    yield "pytest", psutil.Process(process.pid)
    for child in process.children(recursive=True):
        words = " ".join(child.cmdline())
        for module, name in (("rank.worker", "worker"), ("rank.rank", "rank"), ("sampler", "telemetry")):
            if f"gaudi_perf.workers.{module}" in words or f"gaudi_perf.accelerators.{module}" in words:
                yield name, child


def fault(number: int, chance: random.Random, place: Path) -> Outcome:
    """Run a session, do something to one of its processes, and look at what is left."""
    devices, how = chance.choice((1, 2)), chance.choice(list(HOW))
    wanted = chance.choice(("pytest", "worker"))
    place.mkdir()
    temporary, results = place / "tmp", place / "results"
    temporary.mkdir()
    command = [sys.executable, "-m", "pytest", "perf_tests", "-p", "no:cacheprovider", "--new-tokens", "4"]
    command += ["-k", f"bloomz7b-{devices}x-eager-kvcache", "--devices", str(devices), "--runs", "3"]
    command += ["--round-deadline", "5", "--results-dir", str(results), "--baselines-dir", str(place)]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GAUDI_PERF_")},
        "TMPDIR": str(temporary),
        "GAUDI_PERF_INJECTED": json.dumps(SCRIPT),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "injected"), str(ROOT)]),
    }
    output = place / "output"
    with output.open("w") as written:
        process = psutil.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None and not list(temporary.glob("gaudi-perf-*/**/socket")):
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 6.0))
        victim = "nobody"
        try:
            found = [pair for pair in victims(process) if (pair[0] == "pytest") == (wanted == "pytest")]
            if found:
                victim, target = chance.choice(found)
                for one in HOW[how]:
                    target.send_signal(one)
                    time.sleep(0.2)
                if how == "stopped" and victim == "pytest":
                    time.sleep(PAUSE)
                    target.send_signal(signal.SIGCONT)
        except psutil.Error:  # the session, or the worker, had ended
            victim = "nobody"
        begin = time.monotonic()
        problems = []
        try:
            process.wait(timeout=120)
        except psutil.TimeoutExpired:
            problems.append("pytest did not end within 120 s")
            process.kill()
        seconds = time.monotonic() - begin
    time.sleep(1.0)  # the kernel ends the children of a pytest that was killed
    if left := alive(marked(str(temporary))):
        problems.append(f"{len(left)} processes are left")
    if victim == "pytest" and how == "killed":
        remove_abandoned(temporary)  # as the next session does
    if files := [path.name for path in temporary.iterdir()]:
        problems.append(f"left: {', '.join(files)}")
    problems += said(output.read_text(), victim, how, process.returncode)
    if results.exists():
        report = [sys.executable, "-m", "gaudi_perf.cli", "report", "--results-dir", str(results)]
        read = subprocess.run(report, cwd=ROOT, capture_output=True, text=True)
        runs = list(results.glob("*/run-*.json"))
        if "Traceback" in read.stderr or (runs and read.returncode > 1):
            problems.append(f"report: {read.stderr.strip()[-200:]}")
    return Outcome(victim, how, devices, seconds, [f"fault {number}: {problem}" for problem in problems])


def said(output: str, victim: str, how: str, status: int | None) -> list[str]:
    """What is wrong with what pytest printed."""
    if "Traceback" in output:
        return [f"a traceback: {output[-300:]}"]
    if victim == "nobody" or (victim == "pytest" and how == "killed"):
        return []
    if victim == "pytest":
        if how == "stopped":
            return [] if status == 0 else [f"a pytest that was stopped ends with status {status}: {output[-300:]}"]
        name = {"terminated": "SIGTERM"}.get(how, "SIGINT")
        return (
            [] if f"KeyboardInterrupt: {name}" in output or status == 0 else [f"{name} is not named: {output[-300:]}"]
        )
    names = {"killed": ("SIGKILL",), "stopped": ("frozen", "gave no answer"), "terminated": ("SIGTERM", "exit status")}
    wanted = names.get(how, ("SIGINT", "exit status", "KeyboardInterrupt"))
    if status == 0 or any(word in output for word in wanted):
        return []
    return [f"the cause is not named: {output[-300:]}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    outcomes: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gp-") as directory:
        for number in range(arguments.faults):
            one = fault(number, random.Random(f"{arguments.seed} {number}"), Path(directory) / str(number))
            outcomes[one.victim, one.how].append(one)
            problems += one.problems
            print(
                f"\r{number + 1} of {arguments.faults}, {len(problems)} problems", end="", file=sys.stderr, flush=True
            )
    print(file=sys.stderr)
    print("| process | signal | faults | on 2 devices | longest end, s | problems |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for (victim, how), those in sorted(outcomes.items()):
        longest, two = max(one.seconds for one in those), sum(one.devices == 2 for one in those)
        print(
            f"| {victim} | {how} | {len(those)} | {two} | {longest:.1f} | {sum(bool(one.problems) for one in those)} |"
        )
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
