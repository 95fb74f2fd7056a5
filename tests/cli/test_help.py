"""Every command teaches; starting is cheap."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import click
import pytest

from gaudi_perf.cli import main
from tests.cli.conftest import PROJECT, Invoke, commands_of
from tests.golden_files import Golden


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in commands_of(group).items():
        found += _commands(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


def test_help(invoke: Invoke, golden: Golden) -> None:
    invoke("--version")
    for command in _commands(main):
        assert invoke(*command, "--help").exit_code == 0
    golden("help.txt", invoke.transcript)


def test_help_of_pytest(golden: Golden) -> None:
    command = [sys.executable, "-m", "pytest", "perf_tests", "--help", "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GAUDI_PERF_")}
    environment["COLUMNS"] = "100"
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT, env=environment)
    groups = re.findall(r"^gaudi-perf: .*:\n(?:  .*\n|\n(?=  ))+", done.stdout, re.M)
    golden("help_of_pytest.txt", "\n".join(groups))


@pytest.mark.parametrize("command", _commands(main), ids=" ".join)
def test_help_has_examples_and_fits_a_terminal(command: tuple[str, ...], invoke: Invoke) -> None:
    done = invoke(*command, "--help")
    examples = re.findall(r"^ +(?:gaudi-perf|pytest) .*", done.output, re.M)
    assert len(examples) >= 2, done.output
    assert max(len(line) for line in done.output.splitlines()) <= 130


def _every_example(command: tuple[str, ...]) -> list[str]:
    current: click.Command = main
    for name in command:
        assert isinstance(current, click.Group)
        current = commands_of(current)[name]
    text = (current.help or "").replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip().startswith("gaudi-perf ")]


@pytest.mark.parametrize("command", _commands(main), ids=" ".join)
def test_examples_name_commands_and_options_that_are_there(command: tuple[str, ...]) -> None:
    for example in _every_example(command):
        words = example.split()[1:]
        current: click.Command = main
        while isinstance(current, click.Group):
            assert words[0] in commands_of(current), example
            current = commands_of(current)[words.pop(0)]
        flags = {flag for parameter in current.params for flag in parameter.opts}
        own = words[: words.index("--")] if "--" in words else words  # what follows is pytest's
        assert {word for word in own if word.startswith("--")} <= flags, example


def test_starting_imports_nothing_heavy() -> None:
    code = "import sys, gaudi_perf.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "pandas", "torch", "jinja2", "psutil", "pytest"} & set(done.stdout.split())


def test_unknown_command_is_exit_status_2(invoke: Invoke) -> None:
    assert invoke("compart").exit_code == 2
