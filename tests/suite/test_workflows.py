"""The nightly workflow and tox name the same releases, and options that there are."""

from __future__ import annotations

import os
import re
import subprocess
from configparser import ConfigParser
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from gaudi_perf.accelerators.hpu.releases import RELEASES
from gaudi_perf.vocabulary.stacks import decode_stacks

yaml = pytest.importorskip("yaml")
PROJECT = Path(__file__).parents[2]
NIGHTLY = PROJECT / ".github/workflows/nightly.yml"
STACKS = PROJECT / ".github/gaudi/stacks.toml"

OF_THE_CONTAINER = (
    *("GC_KERNEL_PATH", "HABANA_LOGS", "HABANA_SCAL_BIN_PATH", "HABANA_PLUGINS_LIB_PATH", "MPI_ROOT", "OPAL_PREFIX"),
    *("MPICC", "RDMAV_FORK_SAFE", "FI_EFA_USE_DEVICE_RDMA", "RDMA_CORE_ROOT", "RDMA_CORE_LIB", "PYTHONPATH"),
    *("LD_PRELOAD", "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD", "HABANA_VISIBLE_DEVICES"),
)
"""What ENV of the vendor's Dockerfiles sets (HabanaAI/Setup_and_Install, dockerfiles/base and pytorch; the last is set
by whoever starts the container). tox passes on LD_LIBRARY_PATH and PATH by itself."""


def _matrix() -> list[dict[str, Any]]:
    # The base loader leaves versions as they are written: 2.10 is not 2.1.
    jobs = yaml.load(NIGHTLY.read_text(), Loader=yaml.BaseLoader)["jobs"]
    entries: list[dict[str, Any]] = jobs["measure"]["strategy"]["matrix"]["include"]
    return entries


def test_every_release_has_a_job_and_an_environment() -> None:
    released = {item.synapse: item for item in RELEASES}
    tox = ConfigParser(interpolation=None)
    tox.read(PROJECT / "tox.ini")
    (name,) = (section for section in tox.sections() if section.startswith("testenv:synapse1{"))
    numbers = name.partition("{")[2].rstrip("}").split(",")
    deps = dict(re.findall(r"(synapse\d+): optimum-habana>=(\S+),", tox[name]["deps"]))
    assert [entry["environment"] for entry in _matrix()] == [f"synapse1{number}" for number in numbers] == list(deps)
    for entry in _matrix():
        release = released[entry["synapse"]]
        assert f"synapse{entry['synapse'].rpartition('.')[0].replace('.', '')}" == entry["environment"]
        assert entry["torch"].startswith(release.pytorch) and entry["torch"].count(".") == 2
        assert release.optimum_habana_from.startswith(deps[entry["environment"]])
        assert entry["runner"] == f"synapse-{entry['synapse'].rpartition('.')[0]}"


def test_tox_leaves_workers_the_environment_of_the_vendors_container() -> None:
    tox = ConfigParser(interpolation=None)
    tox.read(PROJECT / "tox.ini")
    (name,) = (section for section in tox.sections() if section.startswith("testenv:synapse1{"))
    passed = tox[name].get("pass_env", "").replace("{[testenv]pass_env}", tox["testenv"]["pass_env"]).split()
    assert "GAUDI_PERF_*" in passed
    for variable in OF_THE_CONTAINER:
        assert any(fnmatchcase(variable, pattern) for pattern in passed), variable


def test_cases_of_eight_devices_have_what_starts_their_ranks() -> None:
    """The vendor's containers come without DeepSpeed."""
    tox = ConfigParser(interpolation=None)
    tox.read(PROJECT / "tox.ini")
    (name,) = (section for section in tox.sections() if section.startswith("testenv:synapse1{"))
    assert "deepspeed" in tox[name].get("extras", "").split()
    assert "/opt/gaudi-perf[deepspeed]" in (STACKS.parent / "Dockerfile").read_text()


def test_the_newest_two_are_measured_side_by_side() -> None:
    newest = [entry["runner"] for entry in _matrix()][-1:-3:-1]
    assert [entry.name for entry in decode_stacks(STACKS.read_bytes(), str(STACKS)).stack] == newest
    text = NIGHTLY.read_text()
    assert f"--candidate-stack {newest[0]} --baseline-stack {newest[1]}" in text
    for entry in _matrix()[-2:]:
        assert f"{entry['synapse']}/{entry['os']}/habanalabs/pytorch-installer-{entry['torch']}:latest" in text


def test_scripts_get_inputs_from_their_environment_only() -> None:
    for path in (PROJECT / ".github/workflows").glob("*.yml"):
        workflow = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                assert "${{" not in step.get("run", ""), path
                assert re.search(r"@[0-9a-f]{40}$", step.get("uses", "@" + "0" * 40)), path


def test_options_of_pytest_that_workflows_and_pages_name_are_there(pytestconfig: pytest.Config) -> None:
    workflows = [
        step["run"]
        for path in (PROJECT / ".github/workflows").glob("*.yml")
        for job in yaml.load(path.read_text(), Loader=yaml.BaseLoader)["jobs"].values()
        for step in job["steps"]
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


def test_a_session_hands_on_what_it_measured_itself(tmp_path: Path) -> None:
    """Results lie in a history of all nights; the artifact and the summary are of this one."""
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


def test_a_session_that_measured_nothing_is_no_success(tmp_path: Path) -> None:
    """Where no device is found, every test is skipped, and pytest has nothing to complain of."""
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
def test_what_a_refresh_refused_is_told_and_what_broke_it_fails(tmp_path: Path, status: int, outcome: int) -> None:
    (tmp_path / "bin").mkdir()
    for name, body in (
        ("python", "exit 0"),
        ("gaudi-perf", f'[ "$2" = verify ] && exit 0\necho said of $3\nexit {status}'),
    ):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "measured" / "results-synapse-1.24.0" / "results").mkdir(parents=True)
    assert _run(_script("refresh", "refresh"), tmp_path) == 0, "what the others did can be proposed"
    assert _run(_script("refresh", "no refresh broke"), tmp_path) == outcome
    assert "said of measured/results-synapse-1.24.0/results" in (tmp_path / "summary.md").read_text()
