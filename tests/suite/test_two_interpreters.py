"""Two stacks in one session, each with an interpreter of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from gaudi_perf.stores.results import read_runs
from tests.suite.conftest import INJECTED, ROOT, Suite

CASE = "bloomz7b-1x-eager-kvcache"
QUICK = ["-k", CASE, "--rounds", "3", "--time-budget", "3", "--new-tokens", "4", "--benchmark-disable"]
BESIDE = ["--candidate-stack", "new", "--baseline-stack", "old"]
SCRIPTED = json.dumps({"engine": "scripted"})


def virtual_environment(place: Path) -> Path:
    """An environment that sees what is installed for these tests; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", str(place)], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    # An environment of an environment would see the packages of the interpreter below both.
    (packages / "of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "python"


def entry(name: str, start: str, **variables: str) -> str:
    environment = "".join(f"{variable} = {json.dumps(value)}\n" for variable, value in variables.items())
    return f'[[stack]]\nname = "{name}"\n{start}\n[stack.environment]\n{environment}\n'


def stacks(suite: Suite, *entries: str) -> list[str]:
    file = suite.place / "stacks.toml"
    file.write_text("\n".join(entries))
    return ["--stacks", str(file), *BESIDE]


def scripted(name: str, python: str | Path = sys.executable, **variables: str) -> str:
    environment = {"PYTHONPATH": str(INJECTED), "GAUDI_PERF_INJECTED": SCRIPTED, **variables}
    return entry(name, f'python = "{python}"', **environment)


@pytest.mark.slow
def test_two_environments_are_distinguished_in_documents(suite: Suite, tmp_path: Path) -> None:
    metadata = tmp_path / "packages" / "transformers-99.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 99.1.0\n")
    python = {name: virtual_environment(tmp_path / name) for name in ("new", "old")}
    new = entry("new", f'python = "{python["new"]}"', OMP_NUM_THREADS="2", PYTHONPATH=str(tmp_path / "packages"))
    old = entry("old", f'python = "{python["old"]}"', OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    outcome = suite(*QUICK, *stacks(suite, new, old), "--runs", "1")
    assert outcome.status == 0, outcome.output
    runs = {run.stack_label: run for run in read_runs(outcome.results).runs}
    assert set(runs) == {"new", "old"}
    assert runs["new"].stack.components["transformers"] == "99.1.0"
    assert runs["old"].stack.components["transformers"] != "99.1.0"
    settings = {name: run.stack.settings for name, run in runs.items()}
    assert (settings["new"]["OMP_NUM_THREADS"], settings["new"]["threads"]) == ("2", "2")
    assert (settings["old"]["OMP_NUM_THREADS"], settings["old"]["threads"]) == ("1", "1")
    assert "MKL_NUM_THREADS" not in settings["new"] and settings["old"]["MKL_NUM_THREADS"] == "1"
    words = " ".join(outcome.output.split())
    assert "OMP_NUM_THREADS 1 -> 2" in words and "-> 99.1.0" in words
    (report,) = outcome.session.cases
    assert report.verdicts[0].baseline_stack == runs["old"].stack


HANGS = "#!/bin/sh\nexec sleep 600\n"
OLD = """import collections, sys
sys.version_info = collections.namedtuple("V", "major minor micro")(3, 8, 10)
sys.version = "3.8.10 (default)"
"""
NO_TORCH = """import sys
class No:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, No())
"""


@pytest.mark.parametrize(
    ("python", "customized", "reported"),
    [
        pytest.param(HANGS, "", "stack 'old' cannot start its worker: the worker (process ", marks=pytest.mark.slow),
        ("", OLD, "ImportError: gaudi-perf needs Python 3.10 or later, and this is 3.8.10 ("),
        ("", NO_TORCH, "stack 'old' has no module 'torch' ("),
    ],
    ids=["hangs", "too old", "without torch"],
)
def test_a_stack_that_cannot_be_measured_is_one_sentence(
    suite: Suite, tmp_path: Path, python: str, customized: str, reported: str
) -> None:
    program = tmp_path / "python"
    program.write_text(python or f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(customized)
    old = entry("old", f'python = "{program}"', PYTHONPATH=str(tmp_path / "site"))
    outcome = suite(*QUICK, *stacks(suite, scripted("new"), old), "--start-deadline", "4")
    assert outcome.status == 1, outcome.output
    (report,) = outcome.session.cases
    assert reported in report.failed and str(program) in report.failed and "\n" not in report.failed, report.failed
    assert "Traceback" not in outcome.output
    assert (python != HANGS) or "gave no answer in start within 4 s, and was ended" in report.failed


def namespaces() -> str:
    """Why there can be no namespaces here; empty if there can."""
    try:
        as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        done = subprocess.run(
            ["unshare", *as_root, "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", "mount -t tmpfs none /mnt"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError:
        return "there is no unshare"
    return done.stderr.strip() if done.returncode else ""


def container(name: str, *options: str, **injected: object) -> str:
    """A stack whose workers a command starts that behaves as docker's client does."""
    words = [
        sys.executable, str(INJECTED / "pretended_docker.py"), "run", "--rm", "--init",
        "--volume={directory}:{directory}", "--env-file={environment}", *options, "image", sys.executable,
    ]  # fmt: skip
    setting = json.dumps({"engine": "scripted", **injected})
    path = f"{INJECTED}:{ROOT}"
    return entry(name, f"command = {json.dumps(words)}", PYTHONPATH=path, GAUDI_PERF_INJECTED=setting)


@pytest.mark.parametrize("options", [(), ("--namespaces",)], ids=["detached", "namespaces"])
def test_two_containers(suite: Suite, options: tuple[str, ...]) -> None:
    if options and namespaces():
        pytest.skip(f"no namespaces: {namespaces()}")
    slower = [{"when": ["eager"], "by": 0.10}]
    new = container("new", *options, stack_version="2.14.0", slower=slower)
    outcome = suite(*QUICK, *stacks(suite, new, container("old", *options)), "--runs", "3")
    assert outcome.status == 1, outcome.output
    assert outcome.verdicts() == {CASE: "REGRESSED"}, outcome.output
    runs = read_runs(outcome.results).runs
    assert sorted((run.stack_label, run.stack.version) for run in runs) == [
        *[("new", "2.14.0")] * 3,
        *[("old", "2.13.0")] * 3,
    ]


@pytest.mark.slow
def test_a_container_whose_worker_hangs_is_ended(suite: Suite) -> None:
    """Its client is killed, which does not end the container: the suite checks that nothing of it is left."""
    fault = {"kind": "hang", "phase": "generate", "after": 1}
    hangs = container("new", fault=fault)
    outcome = suite(*QUICK, *stacks(suite, hangs, container("old")), "--round-deadline", "2")
    assert outcome.status == 1
    (report,) = outcome.session.cases
    assert report.failed.startswith("stack 'new': ") and "gave no answer" in report.failed, report.failed
