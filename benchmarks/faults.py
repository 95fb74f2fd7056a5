"""A hundred seeded faults: signals to pytest, workers, ranks, agents and samplers, at random moments of a session.

After each fault no process and no file may be left, ``gaudi-perf report`` must read the session, and the cause must be
named. The engine follows a script, and Open MPI is a stand-in that starts the agents of both hosts here; processes,
sockets and files are real.

    python benchmarks/faults.py --faults 100 --seed 1
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from gaudi_perf.stores.results import read_run
from gaudi_perf.workers.controller.launch import AGENT, RANK, WORKER
from gaudi_perf.workers.controller.processes import alive
from gaudi_perf.workers.controller.workspace import remove_abandoned
from tests.ranks.pretended_launchers import MPIRUN, put, reachable_address

ROOT = Path(__file__).parents[1]
HOW = {
    "killed": (signal.SIGKILL,),
    "stopped": (signal.SIGSTOP,),
    "terminated": (signal.SIGTERM,),
    "interrupted": (signal.SIGINT,),
    "interrupted twice": (signal.SIGINT, signal.SIGINT),
}
MODULES = {WORKER: "worker", RANK: "rank", AGENT: "agent", "gaudi_perf.accelerators.sampler": "telemetry"}
KINDS = {
    "plain": ["--accelerator", "cpu"],
    "telemetry": ["--accelerator", "emulated-gaudi2"],
    "agents": ["--accelerator", "cpu", "--launcher", "openmpi"],
}
"""Sessions. Those with agents have two ranks on two hosts, of which the second is pretended."""
PAUSE = 3.0  # seconds for which pytest is stopped; another process stays so
LONGEST = 600.0  # seconds that pytest may take to end; a start and a load are waited for 240 s, a sampler 60 s
GONE_WITHIN = 5.0  # seconds from the end of a pytest that was killed to that of all it started
SCRIPT = {"engine": "scripted", "seconds": {"eager": 0.05}, "sleep": True}
LOST = "telemetry was lost"
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


def session(kind: str, devices: int, place: Path) -> psutil.Popen:
    """A session of three runs, whose temporary files, results and output lie in its place."""
    (place / "tmp").mkdir(parents=True)
    command = [sys.executable, "-m", "pytest", "perf_tests", "-p", "no:cacheprovider", "--new-tokens", "4"]
    command += ["-k", f"bloomz7b-{devices}x-eager-kvcache", "--devices", str(devices), "--runs", "3", *KINDS[kind]]
    command += ["--start-deadline", "240", "--load-deadline", "240", "--round-deadline", "20"]
    command += ["--results-dir", str(place / "results"), "--baselines-dir", str(place)]
    if kind == "agents":
        (place / "hostfile").write_text(f"{reachable_address()} slots=1\n198.51.100.2 slots=1\n")
        command += ["--hostfile", str(place / "hostfile")]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GAUDI_PERF_")},
        "TMPDIR": str(place / "tmp"),
        "COLUMNS": "300",
        "GAUDI_PERF_INJECTED": json.dumps(SCRIPT),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "injected"), str(ROOT)]),
        "PATH": put(place, "mpirun", "ompi_info", MPIRUN),
    }
    with (place / "output").open("w") as output:
        return psutil.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def victims(process: psutil.Popen) -> dict[str, list[psutil.Process]]:
    """The processes of a session, by what they are; none if it has ended."""
    found: dict[str, list[psutil.Process]] = {}
    with contextlib.suppress(psutil.Error):
        found["pytest"] = [psutil.Process(process.pid)]
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                for module in MODULES.keys() & set(child.cmdline()[:5]):
                    found.setdefault(MODULES[module], []).append(child)
    return found


def strike(process: psutil.Popen, how: str, chance: random.Random) -> str:
    """Send signals to a process of a session, each kind as likely as the others; which it was."""
    found = victims(process)
    if not found:
        return "nobody"
    victim = chance.choice(sorted(found))
    target = chance.choice(found[victim])
    for number, one in enumerate(HOW[how]):
        try:
            target.send_signal(one)
        except psutil.Error:
            return victim if number else "nobody"
        time.sleep(0.2)
    if how == "stopped" and victim == "pytest":
        time.sleep(PAUSE)
        target.send_signal(signal.SIGCONT)
    return victim


def left(place: Path) -> list[psutil.Process]:
    """Living processes that were started, at whatever remove, for a session whose temporary files lie there."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if any(str(place) in value for value in process.environ().values()):
                found.append(process)
    return alive(found)


def fault(number: int, chance: random.Random, place: Path) -> Outcome:
    """Run a session, do something to one of its processes, and look at what is left."""
    kind, how = chance.choice(list(KINDS)), chance.choice(list(HOW))
    devices = 2 if kind == "agents" else chance.choice((1, 2))
    process = session(kind, devices, place)
    begun = {"plain": {"worker", "rank"}, "telemetry": {"telemetry"}, "agents": {"agent"}}[kind]
    while process.poll() is None and not begun & victims(process).keys():
        time.sleep(0.05)
    time.sleep(chance.uniform(0, 6.0))
    victim = "nobody" if process.poll() is not None else strike(process, how, chance)
    begin = time.monotonic()
    problems = []
    try:
        process.wait(timeout=LONGEST)
    except psutil.TimeoutExpired:
        problems.append(f"pytest did not end within {LONGEST:.0f} s")
        process.kill()
    seconds = time.monotonic() - begin
    while left(place / "tmp") and time.monotonic() - begin - seconds < GONE_WITHIN:
        time.sleep(0.2)
    for one in left(place / "tmp"):
        problems.append(f"left: {one}")
        one.kill()
    if victim == "pytest" and how == "killed":
        remove_abandoned(place / "tmp")  # as the next session does
    problems += [f"left: {path.name}" for path in (place / "tmp").iterdir()]
    output, runs = (place / "output").read_text(), list((place / "results").glob("*/run-*.json"))
    problems += said(output, victim, how, process.returncode)
    if kind == "telemetry" and not (victim == "pytest" and process.returncode != 0):
        problems += lost_in_silence(output, runs, process.returncode)
    if (place / "results").exists():
        report = [sys.executable, "-m", "gaudi_perf", "report", "--results-dir", str(place / "results")]
        read = subprocess.run(report, cwd=ROOT, capture_output=True, text=True)
        if "Traceback" in read.stderr or (runs and read.returncode > 1):
            problems.append(f"report: {read.stderr.strip()[-200:]}")
    return Outcome(victim, how, devices, seconds, [f"fault {number}, {victim} {how}: {each}" for each in problems])


def said(output: str, victim: str, how: str, status: int | None) -> list[str]:
    """What is wrong with what pytest printed."""
    if "Traceback" in output:
        return [f"a traceback: {output[-3000:]}"]
    if victim == "nobody" or (victim == "pytest" and how == "killed"):
        return []
    if victim == "telemetry" or (victim == "pytest" and how == "stopped"):
        return [] if status == 0 else [f"ends with status {status}: {output[-3000:]}"]
    names = {"killed": ("SIGKILL",), "stopped": ("frozen", "gave no answer"), "terminated": ("SIGTERM", "exit status")}
    wanted = names.get(how, ("SIGINT", "exit status", "KeyboardInterrupt"))
    if victim == "pytest":
        wanted = ("KeyboardInterrupt: SIGTERM" if how == "terminated" else "KeyboardInterrupt: SIGINT",)
    elif victim == "agent":  # with it goes its rank, and what both would report
        wanted = (*wanted, "nothing was heard of rank", "rank 0 closed its connection")
    if status == 0 or any(word in output for word in wanted):
        return []
    return [f"the cause is not named: {output[-3000:]}"]


def lost_in_silence(output: str, runs: list[Path], status: int | None) -> list[str]:
    """Runs whose telemetry does not reach to their end, where nobody says so."""
    telemetry = [read_run(run).measurement.telemetry for run in runs]
    cut = [one for one in telemetry if one is None or all(sample.moment != "after" for sample in one.samples)]
    problems = [f"no word of {one}" for one in cut if one is None or LOST not in " ".join(one.notes)]
    if cut and status == 0 and LOST not in output:
        problems.append(f"the summary has nothing of it: {output[-3000:]}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one fault, from 0")
    arguments = parser.parse_args()
    outcomes: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    problems: list[str] = []
    numbers = range(arguments.faults) if arguments.only is None else [arguments.only]
    with tempfile.TemporaryDirectory(prefix="gp-") as directory:
        for number in numbers:
            one = fault(number, random.Random(f"{arguments.seed} {number}"), Path(directory) / str(number))
            outcomes[one.victim, one.how].append(one)
            problems += one.problems
            print("\n".join([f"fault {number}: {one.victim} {one.how}", *one.problems]), file=sys.stderr, flush=True)
    print("| process | signal | faults | on 2 devices | longest end, s | problems |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for (victim, how), those in sorted(outcomes.items()):
        longest, two = max(one.seconds for one in those), sum(one.devices == 2 for one in those)
        print(
            f"| {victim} | {how} | {len(those)} | {two} | {longest:.1f} | {sum(bool(one.problems) for one in those)} |"
        )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
