"""Every command of README and documentation runs here, or its block says where it runs, or what it needs.

A block without a language holds commands. The line before it may be ``<!-- runs in tests/suite/test_gaudi.py -->`` or
``<!-- needs a Gaudi -->``. Blocks of other languages are parsed; ``text`` is for people.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from tests.cli.conftest import Invoke
from tests.reports.demonstration import Demonstration
from tests.suite.conftest import INJECTED
from tests.suite.test_plugin import QUICK

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^(?:<!-- (?P<marker>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
MARKER = re.compile(r"(runs in (?P<place>\S+)|needs .+)")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    marker: str
    language: str
    text: str


BLOCKS = [
    Block(str(path.relative_to(PROJECT)), found["marker"] or "", found["language"], found["text"])
    for path in PAGES
    for found in BLOCK.finditer(path.read_text("utf-8"))
]
COMMANDS = [
    (block.page, " ".join(words))
    for block in BLOCKS
    if not block.language and not block.marker
    for line in block.text.replace("\\\n", " ").splitlines()
    if (words := [line.partition(" #")[0].strip()]) != [""] and not line.startswith("#")
]


def test_every_block_is_found() -> None:
    assert all(path.read_text("utf-8").count("```") % 2 == 0 for path in PAGES)
    assert len(BLOCKS) == sum(len(re.findall(r"^ *```", path.read_text("utf-8"), re.M)) // 2 for path in PAGES)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.marker], ids=lambda block: block.text[:40])
def test_markers_name_what_is_there(block: Block) -> None:
    found = MARKER.fullmatch(block.marker)
    assert found, f"{block.page}: {block.marker!r} is no marker: write 'runs in FILE' or 'needs ...'"
    assert found["place"] is None or (PROJECT / found["place"]).is_file(), f"{block.page}: no file {found['place']}"


def test_blocks_of_other_languages_are_well_formed() -> None:
    for block in BLOCKS:
        match block.language:
            case "json":
                json.loads(block.text)
            case "toml":
                msgspec.toml.decode(block.text)
            case "python":
                compile(block.text, block.page, "exec")
            case "" | "text" | "yaml":
                pass
            case other:
                pytest.fail(f"{block.page}: nobody checks a block of {other}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which sessions were measured, with all that the pages name."""
    place = tmp_path_factory.mktemp("project")
    Demonstration(place, cases=8, sessions=20).write()
    shutil.copytree(PROJECT / "baselines", place / "baselines", dirs_exist_ok=True)
    for name in ("perf_tests", "conftest.py", "pyproject.toml"):
        os.symlink(PROJECT / name, place / name)
    stacks = [f'[[stack]]\nname = "synapse-1.{minor}"\npython = "{sys.executable}"\n' for minor in (22, 23)]
    (place / "stacks.toml").write_text("\n".join(stacks))
    (place / "one.txt").write_text("One prompt.")
    (place / "several.txt").write_text("A prompt.\nAnother.\n")
    return place


@pytest.mark.parametrize(
    ("page", "command"), [(page, line) for page, line in COMMANDS if line.startswith("gaudi-perf")]
)
def test_commands_of_gaudi_perf(
    page: str, command: str, project: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    done = invoke(*shlex.split(command.partition(" | ")[0].partition(" >> ")[0])[1:])
    assert done.exit_code in (0, 1), f"{page}: {command}\n{done.output}"  # 2 is a mistake


def pytest_in(project: Path, command: str, *more: str) -> tuple[int, str]:
    """Exit status and output of a command, with the scripted engine."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GAUDI_PERF_")}
    environment |= {"PYTHONPATH": f"{INJECTED}{os.pathsep}{PROJECT}", "GAUDI_PERF_INJECTED": '{"engine": "scripted"}'}
    words = [sys.executable, "-m", *shlex.split(command), "-q", "-p", "no:cacheprovider", *more]
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("page", "command"), [one for one in COMMANDS if one[1].startswith("pytest")])
def test_commands_of_pytest_name_options_and_cases_that_are_there(page: str, command: str, project: Path) -> None:
    status, output = pytest_in(project, command, "--collect-only")
    assert status == 0, f"{page}: {command}\n{output}"


@pytest.mark.slow
def test_the_tutorial_comes_to_a_verdict(project: Path) -> None:
    commands = [command for page, command in COMMANDS if page == "docs/tutorial.md" and command.startswith("pytest")]
    assert len(commands) == 3
    outputs = [pytest_in(project, command, *QUICK) for command in commands]
    assert [status for status, _ in outputs] == [0, 0, 0], outputs
    assert "NO BASELINE" in outputs[0][1] and "UNCHANGED" in outputs[2][1], outputs


def test_nothing_else_is_left_to_be_run() -> None:
    ours = ("gaudi-perf ", "pytest perf_tests ", "pip install -e ")  # .ci/run installs so
    assert [line for line in COMMANDS if not line[1].startswith(ours)] == []
