"""Whatever a file holds: an answer or one sentence, never a traceback, never a changed file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_perf.cli import main
from gaudi_perf.stores.results import ResultsStore
from tests.cli.conftest import PROJECT, PUBLISHED, Invoke
from tests.stores.factories import make_runs

FILES = sorted(path.relative_to(PUBLISHED) for path in PUBLISHED.rglob("synapse-*.json"))
PIECES = st.one_of(st.binary(max_size=8), st.sampled_from([b"null", b"1e999", b"-1", b"[]", b"{}", b'"', b"\x1b[31m"]))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.integers(0, 40), PIECES)
def test_any_bytes_in_a_baseline(file: Path, where: float, removed: int, piece: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        baselines = Path(directory, "baselines")
        shutil.copytree(PUBLISHED, baselines)
        data = (baselines / file).read_bytes()
        at = int(where * len(data))
        broken = data[:at] + piece + data[at + removed :]
        (baselines / file).write_bytes(broken)
        label = f"{file.parent}/{file.stem}"
        for command in (["verify"], ["list"], ["show", label], ["show", label, "--json"]):
            _answers(["baselines", *command, "--baselines-dir", str(baselines)])
        _answers(["table", "--baselines-dir", str(baselines)])
        _answers(["compare", label, "1.8.0", "--baselines-dir", str(baselines)])
        assert (baselines / file).read_bytes() == broken


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 40), PIECES)
def test_any_bytes_in_a_run(where: float, removed: int, piece: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = ResultsStore(Path(directory, "results"))
        paths = [store.write_run(run) for run in make_runs(1.0, count=2)]
        data = paths[0].read_bytes()
        at = int(where * len(data))
        paths[0].write_bytes(data[:at] + piece + data[at + removed :])
        baselines = ["--baselines-dir", str(Path(directory, "baselines"))]
        _answers(["history", "--results-dir", str(store.directory)])
        _answers(["history", "--results-dir", str(store.directory), "--csv", "-"])
        _answers(["baselines", "refresh", str(store.directory), "--minimum-runs", "1", *baselines])
        _answers(["compare", str(store.directory), "gaudi2/synapse-1.10.0", "--baselines-dir", str(PUBLISHED)])


def _answers(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
    assert "\x1b" not in done.output
    if done.exit_code == 2:
        assert done.output.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        *(("history", "--results-dir"), ("baselines", "list", "--baselines-dir"), ("baselines", "refresh")),
        *(("site", "--output"), ("complete", "prompts.csv", "--output"), ("notify", "--state", "open.json")),
    ],
)
def test_an_empty_path_is_not_the_working_directory(invoke: Invoke, here: Path, arguments: tuple[str, ...]) -> None:
    """As of a variable of the shell that is not set."""
    done = invoke(*arguments, "")
    assert done.exit_code == 2 and done.output.endswith("it takes a path, and this one is empty\n")
    assert not list(here.iterdir())


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path / "results")
    for run in make_runs(1.0, count=300):
        store.write_run(run)
    command = [sys.executable, "-m", "gaudi_perf", "history", "--results-dir", str(store.directory)]
    with subprocess.Popen(
        [*command, "--csv", "-", "--rounds"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert b"Traceback" not in errors
