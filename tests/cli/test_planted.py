"""Whatever a document says, no line of output is a command to the CI that shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.notes import NotesStore
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline
from gaudi_perf.vocabulary.documents import decode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.note import Note, Notes
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import decode_session
from gaudi_perf.vocabulary.waiver import Waiver, Waivers
from tests.cli.conftest import Invoke
from tests.reports.factories import EVERY_RUN, EVERYTHING

COMMANDS = re.compile(r"^\s*::|##(\w*)\[", re.MULTILINE)
WRAPPED = re.compile(r"::(set-output|warning)\b.*::")
"""What a long word would become one of, where a line ends within it."""
PLANTED = {
    "github, behind a line break": "\n::set-output name=a::b",
    "github, at the start": "::warning file=a::b",
    "azure": "a\r\n##vso[task.setvariable variable=a]b ##[error]c",
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where texts and objects stand in a document's plain values."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(pairs):
        if isinstance(item, (str, dict)):
            yield (*path, key)
        yield from places(item, (*path, key))


def plant(file: Path, text: str, decoded: Callable[[bytes, str], object]) -> int:
    """Put a text in the place of every one, and in keys, where a document can have it; returns how often."""
    document, planted = json.loads(file.read_text()), 0
    for *path, last in list(places(document)):
        if last in ("run_id", "session_id") or "run_ids" in path:
            continue  # that name files
        holder = document
        for key in path:
            holder = holder[key]
        before = holder[last]
        holder[last] = text if isinstance(before, str) else {**before, text: next(iter(before.values()), text)}
        try:
            decoded(json.dumps(document).encode(), str(file))
            planted += 1
        except UserError:
            holder[last] = before
    file.write_text(json.dumps(document))
    return planted


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
def test_no_line_is_a_command_to_a_ci(invoke: Invoke, here: Path, text: str) -> None:
    store, baselines, waivers = ResultsStore("results"), BaselineStore("baselines"), WaiverStore("baselines")
    runs = [replace(run, session_id=EVERYTHING.session_id) for of_case in EVERY_RUN.values() for run in of_case]
    stored = [CaseBaseline.of([run]) for run in runs]
    place = baselines.write(Baseline(device=runs[0].device, stack=runs[0].stack, cases=stored))

    def decode_in_place(data: bytes, source: str) -> None:
        """Where it stands says its device and its stack."""
        place.path.write_bytes(data)
        baselines.load(place)

    planted = 0
    for run in runs:
        path = store.write_run(run)
        planted += plant(path, text, lambda data, source: decode(data, Run, source))
    session = store.write_session(EVERYTHING)
    planted += plant(session, text, decode_session)
    planted += plant(place.path, text, decode_in_place)
    waived = Waiver(case=runs[0].case.id, device="gaudi2", until="1.24.0", reason="known", added_on="2026-01-31")
    waivers.add(waived)
    planted += plant(waivers.path, text, lambda data, source: decode(data, Waivers, source))
    notes = NotesStore(Path("results"))
    notes.add(Note(case=runs[0].case.id, text="a", added_at="2026-01-31T12:00:00Z"))
    planted += plant(notes.path, text, lambda data, source: decode(data, Notes, source))
    assert planted > 200

    shown = 0
    for command in (
        *("report", "report --json", "report --csv -", "report --markdown -", "report --html -"),
        *("history", "history --json", "history --csv -", "history --csv - --rounds", "audit", "audit --json"),
        *("table", "table --json", "table --markdown", "note", "note --json", "notify results --dry-run"),
        *("compare results gaudi2/synapse-1.22.0", "compare results gaudi2/synapse-1.22.0 --markdown"),
        *("baselines list", "baselines show gaudi2/synapse-1.22.0", "baselines show gaudi2/synapse-1.22.0 --json"),
        *("baselines verify", "baselines waive", "baselines diff results", "baselines refresh results --dry-run"),
        *("baselines refresh results --minimum-runs 1 --dry-run --markdown -", "site --output site"),
    ):
        output = invoke(*command.split()).output
        assert not WRAPPED.search(output) or "--json" in command or "--html" in command, command
        assert not (found := COMMANDS.search(output)), (
            f"{command}: {output[max(0, found.start() - 200) : found.end() + 100]}"
        )
        shown += "set-output" in output or "warning file" in output or "task.setvariable" in output
    assert shown > 15, "what was planted is shown"
