"""Runs the suite as its users do: pytest in a process of its own, with stores in temporary directories."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from gaudi_perf.pytest_plugin import settings_of
from gaudi_perf.vocabulary.documents import decode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.verdict import Session

ROOT = Path(__file__).parents[2]
INJECTED = ROOT / "tests" / "injected"


@dataclass(frozen=True)
class Outcome:
    """What an invocation came to."""

    status: int
    output: str
    results: Path

    @property
    def session(self) -> Session:
        (path,) = self.results.glob("*/session.json")
        return decode(path.read_bytes(), Session, str(path))

    def verdicts(self) -> dict[str, str]:
        """Of each configuration, whatever the workload."""
        reports = [report for report in self.session.cases if report.verdicts]
        return {report.case.configuration.id: report.verdicts[0].kind.value for report in reports}


class Suite:
    """Invokes ``pytest perf_tests`` in a private place."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.baselines = place / "baselines"
        self.baselines.mkdir()
        self._invocations = 0

    def command(self, *arguments: str) -> list[str]:
        self._invocations += 1
        directories = ["--baselines-dir", str(self.baselines), "--results-dir", str(self.results)]
        return [sys.executable, "-m", "pytest", "perf_tests", "-p", "no:cacheprovider", *directories, *arguments]

    @property
    def results(self) -> Path:
        return self.place / f"results-{self._invocations}"

    def environment(self, injected: dict[str, Any] | None = None, **variables: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GAUDI_PERF_")}
        environment = {**kept, "TMPDIR": str(self.temporary), "COLUMNS": "100", **variables}
        if injected is not None:
            environment["GAUDI_PERF_INJECTED"] = json.dumps(injected)
            environment["PYTHONPATH"] = os.pathsep.join([str(INJECTED), str(ROOT)])
        return environment

    @property
    def temporary(self) -> Path:
        path = self.place / "t"
        path.mkdir(exist_ok=True)
        return path

    def __call__(self, *arguments: str, injected: dict[str, Any] | None = None, **variables: str) -> Outcome:
        done = subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment(injected, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3600,  # a hang alone takes so long: where ten others are busy, minutes become half an hour
        )
        return Outcome(done.returncode, done.stdout, self.results)

    def left_processes(self) -> list[psutil.Process]:
        """Workers of this suite that still run."""
        left = []
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.place) in word for word in process.info["cmdline"] or []):
                left.append(process)
        return left


@pytest.fixture
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The suite, with a check that it leaves no process, socket or half-written file behind."""
    suite = Suite(tmp_path_factory.mktemp("s"))
    yield suite
    assert suite.left_processes() == []
    assert list(suite.temporary.iterdir()) == []
    assert [path for path in suite.place.rglob("*") if ".tmp" in path.name] == []


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The workers of a session that was started, when there are some."""
    while True:
        assert process.poll() is None, process.communicate()
        workers = []
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # gone meanwhile
                workers += [child] if "gaudi_perf.workers.rank.worker" in child.cmdline() else []
        if workers:
            return workers
        time.sleep(0.1)


def refusal(*arguments: str) -> str:
    """The sentence with which options are refused, found in this process; how pytest shows one is tested once."""
    given = {}
    for flag, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if flag.startswith("--"):
            given[flag] = "1" if value.startswith("--") or not value else value
    config = SimpleNamespace(getoption=given.get, rootpath=ROOT, stash=pytest.Stash())
    with pytest.raises(UserError) as raised:
        settings_of(config)  # type: ignore[arg-type]
    return str(raised.value)


Scripted = Callable[..., dict[str, Any]]


@pytest.fixture
def scripted() -> Scripted:
    """What to inject for the scripted engine, whose times are exact and which needs no torch."""

    def make(**more: Any) -> dict[str, Any]:
        return {"engine": "scripted", **more}

    return make
