"""Every command that prints findings has ``--json``: a document that its JSON Schema in docs/schemas describes."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import msgspec
import pytest

from gaudi_perf.accelerators.health import Diagnosis
from gaudi_perf.cli import main
from gaudi_perf.reports import answers, notices
from gaudi_perf.vocabulary.baseline import Baseline
from gaudi_perf.vocabulary.note import Notes
from tests.cli.conftest import PROJECT, Invoke, StoreRuns, commands_of
from tests.golden_files import Golden
from tests.reports.demonstration import Demonstration
from tests.stores.factories import make_runs

ANSWERS = {
    field.default.split("/")[1]: kind
    for name, kind in {**vars(answers), **vars(notices)}.items()
    if name.endswith("Answer")
    for field in msgspec.structs.fields(kind)
    if field.name == "schema"
}
DOCUMENTS = {**ANSWERS, "doctor": Diagnosis, "note": Notes, "show": Baseline}
SCHEMAS = PROJECT / "docs/schemas"
CASE = "bloomz7b-8x-graphs-kvcache"
WAIVER = ("--until", "1.26.0", "--reason", "known")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_schemas(name: str, golden: Golden) -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"gaudi-perf {name} --json",
        **msgspec.json.schema(DOCUMENTS[name]),
    }
    jsonschema.Draft202012Validator.check_schema(schema)
    golden(f"../../docs/schemas/{name}.json", json.dumps(_of_any_msgspec(schema), indent=1) + "\n")


def _of_any_msgspec(schema: Any) -> Any:
    """A schema as the newest msgspec makes it: older ones keep the indents of docstrings, and have null first."""
    if isinstance(schema, list):
        return sorted((_of_any_msgspec(one) for one in schema), key=lambda one: one == {"type": "null"})
    if isinstance(schema, dict):
        return {key: _of_any_msgspec(value) for key, value in schema.items()}
    return inspect.cleandoc(schema) if isinstance(schema, str) else schema


def _commands(group: click.Group) -> Iterator[click.Command]:
    for command in commands_of(group).values():
        if isinstance(command, click.Group):
            yield from _commands(command)
        else:
            yield command


def test_every_command_has_json() -> None:
    without = {one.name for one in _commands(main) if not any("--json" in each.opts for each in one.params)}
    assert without <= {"site", "bisect", "check", "plan", "stacks"}, without


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Demonstration(tmp_path_factory.mktemp("made"), cases=8, sessions=20, runs=5)
    made.write()
    return made.results.directory.parent


def answer(invoke: Invoke, schema: str, *arguments: object, status: int = 0) -> dict[str, Any]:
    """What a command prints, checked against its schema."""
    done = invoke(*arguments, "--json")
    assert done.exit_code == status, done.output
    value: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(value, json.loads((SCHEMAS / f"{schema}.json").read_text()))
    return value


def test_what_is_printed_is_as_the_schemas_say(
    invoke: Invoke, made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(made)
    report = answer(invoke, "report", "report", status=1)
    assert len(report["cases"]) == 8 and report["title"] and report["next_commands"][0].startswith("gaudi-perf report ")
    history = answer(invoke, "history", "history", "--last", 3, status=1)
    assert [len(history["runs"]), history["trends"]] == [3, 8]
    assert history["runs"][0]["latency_median_s"] > 0 and any(one["kind"] == "REGRESSED" for one in history["changes"])
    audit = answer(invoke, "audit", "audit", "--repeats", 5, "--case", CASE, status=1)
    assert audit["cases"] == [] and audit["too_short"]
    done = answer(invoke, "audit", "audit", "--repeats", 5, "--candidates", 1, "--baselines", 2)
    assert done["cases"][0]["runs"] >= 3
    compared = answer(invoke, "compare", "compare", f"results/{report['session_id']}", "1.23.0", status=1)
    assert {one["verdict"]["kind"] for one in compared["cases"]} >= {"REGRESSED"}
    listed = answer(invoke, "baselines", "baselines", "list")
    assert [one["stack"] for one in listed["baselines"]] == ["synapse-1.23.0", "synapse-1.24.0"]
    assert answer(invoke, "show", "baselines", "show", "gaudi2/synapse-1.24.0")["stack"]["version"] == "1.24.0"
    refreshed = answer(invoke, "refresh", "baselines", "diff", "results", status=1)
    assert refreshed["written"] == [] and not all(one["accepted"] for one in refreshed["cases"])
    waived = answer(invoke, "waive", "baselines", "waive", CASE, "--device", "gaudi2", *WAIVER)
    assert waived["added"][0]["case"] == waived["waivers"][0]["waiver"]["case"] == CASE
    assert answer(invoke, "verify", "baselines", "verify")["waivers"] == 1
    removed = answer(invoke, "waive", "baselines", "waive", CASE, "--device", "gaudi2", "--remove")
    assert removed["removed"] == waived["added"] and removed["waivers"] == []
    file = tmp_path / "results.json"
    file.write_text('{"throughput": 100.0}')
    circumstances = ("--stack", "synapse-1.22.0", "--day", "2026-01-31", "--device", "gaudi2", "--case", CASE)
    imported = answer(
        invoke, "import", "baselines", "import", file, "--format", "run-generation", *circumstances, "--dry-run"
    )
    assert imported["cases"][0]["level_s"] == 1.0 and imported["written"] == []
    assert answer(invoke, "note", "note", CASE, "known")["notes"][0]["text"] == "known"
    fit = invoke("doctor", "--accelerator", "cpu", "--json")
    jsonschema.validate(json.loads(fit.stdout), json.loads((SCHEMAS / "doctor.json").read_text()))


def test_the_article(invoke: Invoke, project: Path) -> None:
    table = answer(invoke, "table", "table", "--dollars-per-hour", "gaudi=13")
    assert [row["speed_up"] for row in table["rows"] if row["device"] == "a100-80gb"] == [1.0] * 3


def test_a_mistake_is_a_sentence_on_the_error_stream(invoke: Invoke, here: Path) -> None:
    done = invoke("report", "--json")
    assert done.exit_code == 2 and done.stdout == "" and "measure first" in done.stderr


def test_colours(store_runs: StoreRuns, here: Path) -> None:
    for day, level, version in ((1, 1.0, "1.22.0"), (2, 1.0, "1.22.0"), (3, 2.0, "1.23.0"), (4, 2.0, "1.23.0")):
        store_runs(make_runs(level, version=version, session=f"{day}", started_at=f"2026-02-0{day}T12:00:00Z"))
    command = [sys.executable, "-m", "gaudi_perf", "history"]
    for variables, colored in (
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ):
        without = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
        environment = {**without, "PYTHONPATH": str(PROJECT), **variables}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert "slower" in done.stdout and done.returncode == 1
        assert ("\x1b[" in done.stdout) is colored, variables
