"""The nightly workflow and tox name the same releases, and options that there are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from configparser import ConfigParser
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from gaudi_perf.vocabulary.stacks import decode_stacks
from tests.cli.conftest import PROJECT, Invoke
from tests.golden_files import Golden

yaml = pytest.importorskip("yaml")
NIGHTLY = PROJECT / ".github/workflows/measured_nightly.yml"
RELEASES = PROJECT / "tests/data/releases.toml"

OF_THE_CONTAINER = (
    *("GC_KERNEL_PATH", "HABANA_LOGS", "HABANA_SCAL_BIN_PATH", "HABANA_PLUGINS_LIB_PATH", "MPI_ROOT", "OPAL_PREFIX"),
    *("MPICC", "RDMAV_FORK_SAFE", "FI_EFA_USE_DEVICE_RDMA", "RDMA_CORE_ROOT", "RDMA_CORE_LIB", "PYTHONPATH"),
    *("LD_PRELOAD", "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD", "HABANA_VISIBLE_DEVICES"),
)
"""What ENV of the vendor's Dockerfiles sets (HabanaAI/Setup_and_Install, dockerfiles/base and pytorch; the last is set
by whoever starts the container). tox passes on LD_LIBRARY_PATH and PATH by itself."""


def _tox() -> tuple[ConfigParser, str]:
    tox = ConfigParser(interpolation=None)
    tox.read(PROJECT / "tox.ini")
    (name,) = (section for section in tox.sections() if section.startswith("testenv:synapse{"))
    return tox, name


def test_the_nightly_and_tox_follow_the_file_of_releases(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    checked = invoke("releases", "check")
    assert checked.exit_code == 0 and "tox.ini: agrees" in checked.output
    plan = json.loads(invoke("releases", "plan", "--day", "2026-12-24").output)
    tox, name = _tox()
    deps = dict(re.findall(r"(synapse\d+): optimum-habana(\S+)", tox[name]["deps"]))
    assert {one["environment"]: one["optimum_habana"] for one in plan["measure"]} == deps
    stacks = decode_stacks(invoke("releases", "stacks", "--day", "2026-12-24").output.encode(), "stacks")
    named = [entry.name for entry in stacks.stack]
    assert named[:2] == [plan["candidate"], plan["baseline"]] or len(named) < 2
    text = NIGHTLY.read_text()
    for one in plan["measure"]:  # none of it is written there again
        assert one["synapse"] not in text and one["image"] not in text and one["environment"] not in text
    for argument in re.findall(r"--build-arg (\w+)=", text):
        assert f"ARG {argument}" in (PROJECT / ".github/gaudi/Dockerfile").read_text()


def test_a_new_release_is_one_line(invoke: Invoke, here: Path, golden: Golden) -> None:
    """It is in the nightly from its day on, side by side with the one before, and tox has an environment of it."""
    line = (
        '  { synapse = "1.25.0", released = "2026-12-01", pytorch = "2.11.0", optimum_habana = ["1.22.0", "1.22.1"], '
        'os = "ubuntu24.04", runner = "synapse-1.25", since = "2026-12-02" },\n]\n'
    )
    (here / "releases.toml").write_text(RELEASES.read_text().rpartition("]")[0] + line)
    shutil.copy(PROJECT / "tox.ini", here)
    options = ("--releases", "releases.toml", "--day", "2026-12-02")
    assert invoke("releases", "check", *options).exit_code == 1
    assert invoke("releases", "check", "--write", *options).exit_code == 0
    assert "    synapse125: optimum-habana>=1.22.0,<1.23\n" in (here / "tox.ini").read_text()
    for form in ("json", "github", "gitlab", "lines"):
        assert invoke("releases", "plan", "--format", form, *options).exit_code == 0
    assert invoke("releases", "stacks", *options).exit_code == 0
    assert "1.25.0" not in invoke("releases", "plan", *options[:2], "--day", "2026-12-01").output
    golden("releases.txt", invoke.transcript)


def test_mistakes_in_the_file_of_releases(invoke: Invoke, here: Path, golden: Golden) -> None:
    text, last = RELEASES.read_text(), '{ synapse = "1.24.2"'
    for old, new in (
        (last, '{ synapse = "1.24"'),
        (last, '{ synapse = "1.24.1"'),
        (last, '{ synapse = "1.23.3"'),
        ('pytorch = "2.10.0"', 'pytorch = "2.10"'),
        ('["1.21.0", "1.21.2"]', '["1.21.2", "1.21.0"]'),
        (', runner = "synapse-1.24"', ""),
        ('runner = "synapse-1.24", since = "2026-11-23"', 'runner = "x", since = "2026-11-23", until = "2026-11-22"'),
        ('os = "ubuntu24.04"', 'os = "ubuntu24.04\\n::set-output name=a::b"'),
        ('runner = "synapse-1.24"', 'runner = "a b"'),
        ('since = "2026-11-23"', 'since = "2026-02-31"'),
        ("/{os}/", "/{system}/"),
        ("release = [", "release ="),
    ):
        assert old in text
        (here / "releases.toml").write_text(text.replace(old, new))
        invoke.mistake("releases", "check", "--releases", "releases.toml")
    invoke.mistake("releases", "plan", "--releases", "nowhere.toml")
    invoke.mistake("releases", "plan", "--day", "today")
    (here / "releases.toml").write_text(text)
    good = ("--releases", "releases.toml")
    invoke.mistake("releases", "stacks", *good, "--image", "a\nb")
    for arguments in (("--write",), ("--project", "nowhere")):
        done = invoke("releases", "check", *good, "--day", "2026-12-02", *arguments)
        assert done.exit_code == 2 and "tox.ini: cannot be read (No such file" in done.output
    (here / "tox.ini").write_bytes(b"[testenv]\xff")
    done = invoke("releases", "check", *good, "--day", "2026-12-02")
    assert done.exit_code == 2 and "tox.ini: byte 10 is no UTF-8: save it as UTF-8" in done.output
    golden("releases_mistakes.txt", invoke.transcript)


def test_tox_leaves_workers_the_environment_of_the_vendors_container() -> None:
    tox, name = _tox()
    passed = tox[name].get("pass_env", "").replace("{[testenv]pass_env}", tox["testenv"]["pass_env"]).split()
    assert "GAUDI_PERF_*" in passed
    for variable in OF_THE_CONTAINER:
        assert any(fnmatchcase(variable, pattern) for pattern in passed), variable


def test_cases_of_eight_devices_have_what_starts_their_ranks() -> None:
    """The vendor's containers come without DeepSpeed."""
    tox, name = _tox()
    assert "deepspeed" in tox[name].get("extras", "").split()
    assert "/opt/gaudi-perf[deepspeed]" in (PROJECT / ".github/gaudi/Dockerfile").read_text()


def test_scripts_get_inputs_from_their_environment_only() -> None:
    for path in (PROJECT / ".github/workflows").glob("*.yml"):
        workflow = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            for step in job.get("steps", ()):
                assert "${{" not in step.get("run", ""), path
                assert re.search(r"@[0-9a-f]{40}$", step.get("uses", "@" + "0" * 40)), path


def test_options_of_pytest_that_workflows_and_pages_name_are_there(pytestconfig: pytest.Config) -> None:
    workflows = [
        step["run"]
        for path in (PROJECT / ".github/workflows").glob("*.yml")
        for job in yaml.load(path.read_text(), Loader=yaml.BaseLoader)["jobs"].values()
        for step in job.get("steps", ())
        if "run" in step
    ]
    pages = [
        path.read_text() for path in (PROJECT / "README.md", PROJECT / "tox.ini", *(PROJECT / "docs").glob("*.md"))
    ]
    commands = re.findall(r"(?:pytest perf_tests|tox run .* -- )([^`#|\n]*)", "\n".join([*workflows, *pages]))
    flags = {flag for command in commands for flag in re.findall(r"(?<!\S)--[a-z][a-z-]*", command)}
    assert len(flags) > 15
    unknown = object()
    assert {flag for flag in flags if pytestconfig.getoption(flag, unknown) is unknown} == set()


def _script(job: str, step: str) -> str:
    steps = yaml.load(NIGHTLY.read_text(), Loader=yaml.BaseLoader)["jobs"][job]["steps"]
    (found,) = (item["run"] for item in steps if item.get("name") == step)
    return str(found)


def _run(script: str, folder: Path, **variables: str) -> int:
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    done = subprocess.run(["sh", "-e", "-c", script], cwd=folder, env={**environment, **variables}, check=False)
    return done.returncode


def test_a_nightly_hands_on_what_it_measured_itself(tmp_path: Path) -> None:
    """Results lie in a history of all sessions; the artifact and the summary are of this one."""
    history = tmp_path / "history"
    for name, second in (("before", 1_000_000_000), ("tonight", 2_000_000_000)):
        (history / name).mkdir(parents=True)
        (history / name / f"run-{name}.json").touch()
        os.utime(history / name, (second, second))
    (history / ".history-index").touch()
    (tmp_path / "begun").touch()
    os.utime(tmp_path / "begun", (1_500_000_000, 1_500_000_000))
    script = _script("measure", "what was measured tonight")
    assert _run(script, tmp_path, GAUDI_PERF_RESULTS_DIR=str(history)) == 0
    assert [str(path.relative_to(tmp_path)) for path in sorted((tmp_path / "results").rglob("*"))] == [
        "results/tonight",
        "results/tonight/run-tonight.json",
    ]
    assert not (tmp_path / "summary.md").exists()


def test_a_nightly_that_measured_nothing_is_no_success(tmp_path: Path) -> None:
    """Where no device is found, every test is skipped, and pytest passes."""
    (tmp_path / "history").mkdir()
    (tmp_path / "begun").touch()
    script = _script("measure", "what was measured tonight")
    assert _run(script, tmp_path, GAUDI_PERF_RESULTS_DIR=str(tmp_path / "history")) == 1
    assert "Nothing was measured" in (tmp_path / "summary.md").read_text()
    (tmp_path / "results" / "session").mkdir(parents=True)
    assert _run(_script("side-by-side", "something was measured"), tmp_path) == 1
    (tmp_path / "results" / "session" / "run-1.json").touch()
    assert _run(_script("side-by-side", "something was measured"), tmp_path) == 0


@pytest.mark.parametrize(("status", "outcome"), [(0, 0), (1, 0), (2, 1)])
def test_what_a_refresh_refused_is_reported_and_what_broke_it_fails(tmp_path: Path, status: int, outcome: int) -> None:
    (tmp_path / "bin").mkdir()
    for name, body in (
        ("python", "exit 0"),
        ("gaudi-perf", f'[ "$2" = verify ] && exit 0\necho said of $3\nexit {status}'),
    ):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "measured" / "results-synapse-1.24.0" / "results").mkdir(parents=True)
    (tmp_path / "measured" / "results-synapse-1.24.0" / "results" / "session.json").touch()
    for words in (("init", "--quiet"), ("add", "bin"), ("commit", "--quiet", "--message", "Begin")):
        subprocess.run(["git", "-c", "user.name=p", "-c", "user.email=p@example.com", *words], cwd=tmp_path, check=True)
    assert _run(_script("conclude", "refresh"), tmp_path) == 0, "what the others did can be proposed"
    assert _run(_script("conclude", "no refresh broke"), tmp_path) == outcome
    assert "said of measured/results-synapse-1.24.0/results" in (tmp_path / "summary.md").read_text()
