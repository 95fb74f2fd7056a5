"""The plugin in projects of others: from a wheel, light, inert where not asked for, each case with its own numbers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.results import read_runs
from gaudi_perf.vocabulary.documents import decode
from gaudi_perf.vocabulary.verdict import Session
from tests.suite.conftest import INJECTED, ROOT

LATENCY = """
import pytest
from gaudi_perf.pytest_plugin import Configuration, Judge, Measure, Settings

EAGER = Configuration(model="bloomz560m", devices=1, graphs=False, kv_cache=True)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_latency(measure: Measure, judge: Judge, perf_settings: Settings, workload) -> None:
    case = perf_settings.case(EAGER, **workload)
    judge(case, measure(case))
"""
TOKENS = [{"new_tokens": 4}, {"new_tokens": 64}]
QUICK = ["--rounds", "3", "--time-budget", "5", "--accelerator", "cpu"]


class Project:
    """A project of three files."""

    def __init__(self, place: Path, test: str, python: str = sys.executable) -> None:
        self.place, self._python = place, python
        place.mkdir(exist_ok=True)
        (place / "pyproject.toml").write_text("[tool.pytest.ini_options]\ntestpaths = ['.']\n")
        (place / "conftest.py").write_text('pytest_plugins = ["gaudi_perf.pytest_plugin"]\n')
        (place / "test_mine.py").write_text(test)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GAUDI_PERF_", "PYTHON"))}
        return subprocess.run(
            [self._python, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=self.place,
            env={**kept, "COLUMNS": "120", "PYTHONDONTWRITEBYTECODE": "1", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def scripted(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Measures with the scripted engine, which needs no torch."""
        paths = os.pathsep.join([str(INJECTED), str(ROOT)])
        return self.run(*QUICK, *arguments, GAUDI_PERF_INJECTED='{"engine": "scripted"}', PYTHONPATH=paths)

    @property
    def session(self) -> Session:
        (path,) = self.place.glob("results/*/session.json")
        return decode(path.read_bytes(), Session, str(path))


def latency(*workloads: dict[str, Any]) -> str:
    return LATENCY.replace("WORKLOADS", repr(list(workloads)))


@pytest.mark.parametrize(
    "workloads",
    [
        pytest.param(TOKENS, id="tokens", marks=pytest.mark.slow),
        pytest.param([{"batch_size": 1}, {"batch_size": 4}], id="batch", marks=pytest.mark.slow),
        pytest.param([*TOKENS, TOKENS[0]], id="again"),
        pytest.param([{"dtype": "bfloat16"}, {"dtype": "fp8"}], id="dtype"),
    ],
)
def test_tests_of_one_configuration_have_the_numbers_of_their_own_workloads(
    tmp_path: Path, workloads: list[dict[str, Any]]
) -> None:
    project = Project(tmp_path, latency(*workloads))
    stored = project.scripted("--refresh-baselines", "--runs", "2", f"--benchmark-json={tmp_path / 'b.json'}")
    assert stored.returncode == 0, stored.stdout + stored.stderr
    (field,) = workloads[0]
    expected = sorted({workload[field] for workload in workloads})
    runs = read_runs(tmp_path / "results").runs
    assert sorted(getattr(run.case.workload, field) for run in runs) == sorted(2 * expected)
    assert all(len(run.measurement.token_ids) == run.case.workload.new_tokens for run in runs)
    by_run = {run.run_id: run.case for run in runs}
    for report in project.session.cases:
        assert len(report.run_ids) == 2 and {by_run[run_id] for run_id in report.run_ids} == {report.case}
    assert sorted(getattr(report.case.workload, field) for report in project.session.cases) == expected
    store = BaselineStore(tmp_path / "baselines")
    entries = [entry for place in store.list() for entry in store.load(place).cases]
    assert sorted(getattr(entry.case.workload, field) for entry in entries) == expected
    for entry in entries:
        assert {getattr(by_run[run.run_id].workload, field) for run in entry.runs} == {
            getattr(entry.case.workload, field)
        }
    shown = json.loads((tmp_path / "b.json").read_text())["benchmarks"]
    for benchmark, workload in zip(shown, workloads, strict=True):
        assert all(getattr(by_run[run].workload, field) == workload[field] for run in benchmark["extra_info"]["runs"])

    shutil.rmtree(tmp_path / "results")
    again = project.scripted("--runs", "2", "-p", "no:benchmark")
    assert again.returncode == 0 and "NO BASELINE" not in again.stdout, again.stdout
    assert len(project.session.cases) == len(expected)
    assert "no baseline" not in again.stdout.splitlines()[-1]


def test_tests_of_one_configuration_have_rows_of_their_own(tmp_path: Path) -> None:
    done = Project(tmp_path, latency(*TOKENS)).scripted()
    rows = [
        line for line in done.stdout.splitlines() if line.startswith("bloomz560m-1x-eager-kvcache") and " ms " in line
    ]
    assert len({row.split()[0] for row in rows}) == 2, done.stdout
    assert len({row.split()[4] for row in rows}) == 2, "tokens a second, which follow from the same time"


def test_a_case_that_the_session_cannot_measure_is_refused(tmp_path: Path) -> None:
    other = LATENCY.replace("WORKLOADS", repr([{"prompt": "dataset tldr"}]))
    refused = Project(tmp_path, other).scripted()
    assert refused.returncode == 1 and "its prompts are a dataset's" in refused.stdout
    assert "Benchmark fixture was not used" not in refused.stdout + refused.stderr
    assert not list(tmp_path.glob("results/*/run-*.json"))


def of_docs(place: Path) -> Project:
    """The project of docs/your_own_test.md."""
    page = (ROOT / "docs" / "your_own_test.md").read_text()
    pyproject, conftest, test, more = re.findall(r"```(?:toml|python)\n(.*?)```", page, re.S)
    project = Project(place, test)
    for name, text in {"pyproject.toml": pyproject, "conftest.py": conftest, "test_one.py": more}.items():
        (place / name).write_text(text)
    return project


def test_the_project_of_the_docs_measures_its_own_cases(tmp_path: Path) -> None:
    project = of_docs(tmp_path)
    stored = project.scripted("--refresh-baselines", "--runs", "2", "-p", "no:benchmark")
    assert stored.returncode == 0 and "9 no baseline" in stored.stdout, stored.stdout + stored.stderr
    ids = [report.case.id for report in project.session.cases]
    assert "llama3.1-8b-1x-graphs-kvcache-n16" in ids and "gpt2-1x-eager-kvcache-b4-p128-n32" in ids
    assert "gpt2-1x-eager-kvcache-b2-n8" in ids and len(set(ids)) == 9
    runs = read_runs(tmp_path / "results").runs
    assert all(run.built is not None and run.case.architecture == run.built.digest for run in runs)
    store = BaselineStore(tmp_path / "baselines")
    assert sorted(entry.case.id for place in store.list() for entry in store.load(place).cases) == sorted(ids)
    again = project.scripted("-p", "no:benchmark", "-k", "llama", "--model", "bloomz7b")
    assert again.returncode == 0 and "no baseline" not in again.stdout.splitlines()[-1], again.stdout


def test_the_sweep_of_the_docs_shares_nothing(tmp_path: Path) -> None:
    """Four workloads of one configuration: rows, baselines and cases of the page of their own, in a refresh, too."""
    page = (ROOT / "docs" / "workloads.md").read_text().partition("## A sweep")[2]
    project, html = Project(tmp_path, re.findall(r"```python\n(.*?)```", page, re.S)[0]), tmp_path / "page.html"
    options = ("--refresh-baselines", "--runs", "2", "-p", "no:benchmark", f"--perf-html={html}")
    done = project.scripted(*options)
    assert done.returncode == 0 and "4 no baseline" in done.stdout.splitlines()[-1], done.stdout + done.stderr
    ids = {f"gpt2-1x-eager-kvcache{batch}-p{prompt}-n4" for batch in ("", "-b4") for prompt in (8, 32)}
    assert {report.case.id for report in project.session.cases} == ids
    assert {one for one in re.findall(r'<tr role="row" id="([^"]+)"', html.read_text())} == ids
    store = BaselineStore(tmp_path / "baselines")

    def levels() -> dict[str, list[str]]:
        return {
            entry.case.id: [run.run_id for run in entry.runs]
            for place in store.list()
            for entry in store.load(place).cases
        }

    first = levels()
    assert set(first) == ids and len({run for runs in first.values() for run in runs}) == 8
    again = project.scripted(*options, "-k", "b4-p32")
    assert again.returncode == 0, again.stdout
    assert {case for case, runs in levels().items() if runs != first[case]} == {"gpt2-1x-eager-kvcache-b4-p32-n4"}


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("model='gpt5'", "perf: model gpt5: is no model: name one of bloomz176b"),
        ("model='gpt2', batch=4", "@pytest.mark.perf takes model, devices, graphs, kv_cache and workload"),
        ("model='gpt2', devices=0", "@pytest.mark.perf takes model"),
        ("model='gpt2', graphs='eager'", "@pytest.mark.perf takes model"),
        ("model='gpt2', workload={'batch': 4}", "@pytest.mark.perf takes model"),
        ("'gpt2'", "@pytest.mark.perf takes model"),
    ],
)
def test_a_marker_that_makes_no_sense_is_one_sentence(tmp_path: Path, marker: str, words: str) -> None:
    test = f"import pytest\n\n\n@pytest.mark.perf({marker})\ndef test_mine(case, measure, judge):\n    pass\n"
    done = Project(tmp_path, test).run("--collect-only", "-q")
    assert done.returncode == 2 and words in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stdout and "cases.py" not in done.stdout


def test_a_checkpoint_of_somebody(tmp_path: Path) -> None:
    """By its directory in a marker; what its config.json names and is not done stands in the summary."""
    (tmp_path / "mine-7b").mkdir()
    config = {"model_type": "gpt2", "vocab_size": 5000, "n_embd": 64, "n_layer": 4, "n_head": 4}
    (tmp_path / "mine-7b" / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "evil.C"}}))
    body = "def test_mine(case, measure, judge):\n    judge(case, measure(case))\n"
    test = f"import pytest\n\n\n@pytest.mark.perf(model='mine-7b', graphs=False)\n{body}"
    project = Project(tmp_path, test)
    done = project.scripted("-p", "no:benchmark")
    (report,) = project.session.cases
    assert report.case.id == "mine-7b-1x-eager-kvcache" and len(str(report.case.architecture)) == 8
    assert "mine-7b/config.json: auto_map names code, and is left out" in " ".join(done.stdout.split())
    hub = project.scripted("-p", "no:benchmark", "--weights", "hub")
    assert hub.returncode == 1 and "its model has no repository on the hub" in hub.stdout


def test_workloads_of_the_command_line(tmp_path: Path) -> None:
    test = (
        "import pytest\n\n\n@pytest.mark.perf()\ndef test_mine(case, measure, judge):\n    judge(case, measure(case))\n"
    )
    project = Project(tmp_path, test)
    workloads = "batch=4,prompt=32,new=8;dtype=fp32"
    done = project.scripted("--model", "gpt2,mamba-130m", "--workload", workloads, "-p", "no:benchmark")
    assert [report.case.id.partition("kvcache")[2] for report in project.session.cases] == ["-b4-p32-n8", "-fp32"] * 2
    assert done.returncode == 0 and "4 no baseline" in done.stdout.splitlines()[-1]
    twice = project.scripted("--workload", "new=8", "--new-tokens", "4")
    assert twice.returncode == 4 and "--new-tokens and --workload both say it" in twice.stderr
    wrong = project.scripted("--workload", "batch=0")
    assert wrong.returncode == 4 and "--workload is 'batch=0': it takes batch=N,prompt=N,new=N" in wrong.stderr


def test_collecting_imports_nothing_heavy_and_finds_no_devices(tmp_path: Path) -> None:
    example = (ROOT / "README.md").read_text().partition("# test_latency.py\n")[2].partition("```")[0]
    project = Project(
        tmp_path / "project", f"{latency(*TOKENS)}\n{example.replace('test_latency', 'test_of_the_readme')}"
    )
    heavy = "{'numpy', 'scipy', 'torch', 'transformers', 'pandas', 'rich', 'jinja2'}"
    (tmp_path / "project" / "conftest.py").write_text(
        'import sys\n\npytest_plugins = ["gaudi_perf.pytest_plugin"]\n\n\n'
        f"def pytest_sessionfinish() -> None:\n    print('heavy:', sorted({heavy} & set(sys.modules)))\n"
    )
    done = project.run("--collect-only", "-q", "-s")
    assert done.returncode == 0 and "4 tests collected" in done.stdout, done.stdout + done.stderr
    assert "heavy: []" in done.stdout


def test_where_nothing_is_measured_nothing_happens(tmp_path: Path) -> None:
    """No output, no file, and no program of a vendor is asked for devices."""
    project = Project(tmp_path / "project", "def test_mine() -> None:\n    assert True\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("hl-smi", "nvidia-smi"):
        (tools / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
        (tools / name).chmod(0o755)
    done = project.run("-v", PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    assert "gaudi" not in done.stdout.replace(str(tmp_path), "").replace("gaudi-perf-", "")
    files = {path.name for path in project.place.iterdir()} - {".benchmarks"}  # pytest-benchmark's own
    assert files == {"pyproject.toml", "conftest.py", "test_mine.py"}
    assert not (tmp_path / "started").exists()
    wrong = project.run(GAUDI_PERF_ROUNDS="many")
    assert wrong.returncode == 4 and "GAUDI_PERF_ROUNDS is 'many'" in wrong.stderr


@pytest.mark.slow
def test_a_project_measures_with_the_plugin_of_an_installed_wheel(tmp_path: Path) -> None:
    """A wheel, in a fresh environment that sees what is installed here, but not this checkout."""
    source, wheels, environment = tmp_path / "source", tmp_path / "wheels", tmp_path / "venv"
    shutil.copytree(ROOT / "gaudi_perf", source / "gaudi_perf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels), str(source)]
    subprocess.run(wheel, check=True, capture_output=True, text=True, timeout=300)
    venv.create(environment, with_pip=False)
    python = str(environment / "bin" / "python")
    (path,) = wheels.glob("*.whl")
    install = [*pip, "--python", python, "install", "--no-deps", "--no-index", str(path)]
    subprocess.run(install, check=True, capture_output=True, text=True, timeout=300)
    (packages,) = environment.glob("lib/python*/site-packages")
    # A line of a .pth file is a directory whose own .pth files are not read, so that nothing leads to the checkout.
    here = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "dependencies.pth").write_text("\n".join(here) + "\n")
    where = 'import gaudi_perf\n\n\ndef test_installed() -> None:\n    assert "/venv/" in gaudi_perf.__file__\n'
    project = Project(tmp_path / "project", latency({"new_tokens": 2}) + where, python)
    done = project.run(*QUICK, "--require-baseline")
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    (report,) = project.session.cases
    assert report.verdicts[0].kind.value == "NO BASELINE" and not report.failed
