from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gaudi_perf.stores.results import ResultsStore
from tests.cli.conftest import PROJECT, Invoke
from tests.golden_files import Golden
from tests.reports.demonstration import Demonstration

WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "deepspeed", "optimum", "pytest"):
            raise ImportError(f"{name} is not to be imported")

sys.meta_path.insert(0, Refuse())
from gaudi_perf.cli import main
main()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    made = Demonstration(tmp_path_factory.mktemp("made"), cases=8, sessions=6, runs=2)
    made.write()
    return made


def where(made: Demonstration) -> list[str]:
    return ["--results-dir", str(made.results.directory), "--baselines-dir", str(made.baselines.directory)]


def test_every_form_is_made_without_torch(made: Demonstration, tmp_path: Path) -> None:
    files = {"--html": "r.html", "--markdown": "r.md", "--csv": "r.csv"}
    options = [word for option, name in files.items() for word in (option, str(tmp_path / name))]
    command = [sys.executable, "-c", WITHOUT_TORCH, "report", *where(made)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    for more, status in (([], 1), (options, 0)):  # some cases are slower, and files are only written
        done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stderr
    assert all((tmp_path / name).stat().st_size > 500 for name in files.values())
    table = subprocess.run(
        [*command[:3], "table", "--format", "html"], env=environment, cwd=PROJECT, capture_output=True, timeout=120
    )
    assert table.returncode == 0 and b"3.28x" in table.stdout


@pytest.fixture
def there(made: Demonstration, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demonstration's directory as working directory."""
    monkeypatch.chdir(made.results.directory.parent)
    return made.results.directory.parent


def test_the_hint_of_a_session_with_few_runs_works_once_it_has_a_reason(there: Path, invoke: Invoke) -> None:
    hint = re.search(r"^new level: +gaudi-perf (.*)$", invoke("report").output, re.M)
    assert hint is not None
    assert invoke(*shlex.split(hint[1].replace("REASON", "collectives")), "--dry-run").exit_code == 0


def test_the_demonstration(made: Demonstration, there: Path, invoke: Invoke, golden: Golden) -> None:
    assert invoke("report").exit_code == 1  # some are slower
    golden("report/demonstration.txt", invoke.transcript)
    golden("report/demonstration.md", invoke("report", "--markdown", "-").output)
    golden("report/demonstration.csv", invoke("report", "--csv", "-").output)
    assert invoke("report", "--html", "-").output.startswith("<!doctype html>")


def test_other_directories_are_in_the_commands(made: Demonstration, here: Path, invoke: Invoke) -> None:
    done = invoke("report", *where(made))
    assert f"look closer: gaudi-perf report {made.session_id(5)} --results-dir {made.results.directory}" in done.output


def test_baselines_that_cannot_be_read_are_told_in_the_page(invoke: Invoke, tmp_path: Path) -> None:
    made = Demonstration(tmp_path, cases=2, sessions=5, runs=1)
    made.write()
    for path in made.baselines.directory.rglob("*.json"):
        path.write_text("{")
    done = invoke("report", *where(made), "--html", tmp_path / "r.html")
    assert done.exit_code == 0 and "not a valid baseline document" in (tmp_path / "r.html").read_text()


def test_mistakes(made: Demonstration, there: Path, invoke: Invoke, golden: Golden) -> None:
    invoke.mistake("report", "--html", "-", "--csv", "-")
    invoke.mistake("report", "--html", "none/r.html")
    golden("report/mistakes.txt", invoke.transcript)


def test_an_unfinished_session_is_one_sentence(invoke: Invoke, here: Path, golden: Golden) -> None:
    ResultsStore(here / "results").session_directory("s").mkdir(parents=True)
    invoke.mistake("report")
    invoke.mistake("report", "s")
    golden("report/unfinished.txt", invoke.transcript)


def test_the_table_as_a_page(invoke: Invoke) -> None:
    done = invoke("table", "--format", "html", "--baselines-dir", PROJECT / "baselines")
    assert done.exit_code == 0 and done.output.startswith("<!doctype html>")
    assert (
        "<td>gaudi2</td>" in done.output
        and "1.18x" in done.output
        and "script-src 'none'" in done.output.replace("&#39;", "'")
    )


def test_a_newer_session_that_was_killed_is_told(invoke: Invoke, tmp_path: Path) -> None:
    """Else the verdicts of another session would be taken for those of this one."""
    made = Demonstration(tmp_path, cases=2, sessions=5, runs=1)
    session = made.write()
    run = next(made.results.session_directory(session.session_id).glob("run-*.json"))
    killed = made.results.session_directory("29991231T000000.000000Z-00000000")
    killed.mkdir()
    shutil.copy(run, killed)
    done = invoke("report", *where(made), "--markdown", "-")
    assert done.exit_code == 0 and "### gaudi-perf: " in done.output
    assert f"left out: session {killed.name} is newer, and was killed before it had a document" in done.output
