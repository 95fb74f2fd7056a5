"""The nightly workflow and tox name the same releases, and options that there are."""

from __future__ import annotations

import re
from configparser import ConfigParser
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from gaudi_perf.runtime.gaudi.releases import RELEASES
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
