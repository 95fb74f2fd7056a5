"""``gaudi-perf note``: what people know of a case, for those who open its page."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import click
import msgspec

from gaudi_perf.cli.common import Command, echo, echo_json, echo_table, json_option, results_option
from gaudi_perf.stores.notes import NotesStore
from gaudi_perf.stores.results import require_results
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import minute
from gaudi_perf.vocabulary.note import Note, Notes


@click.command(cls=Command)
@click.argument("case", required=False)
@click.argument("text", required=False)
@click.option("--device", metavar="NAME", default="", help="Only on this device; default: on any.")
@click.option("--list", "list_all", is_flag=True, help="List all notes, with their numbers.")
@click.option("--remove", type=click.IntRange(min=1), metavar="NUMBER", help="Remove the note of this number.")
@json_option
@results_option
def note(
    case: str | None,
    text: str | None,
    device: str,
    list_all: bool,
    remove: int | None,
    as_json: bool,
    results_dir: Path,
) -> None:
    """Attach TEXT to CASE: the page and the site show it with the case's figures.

    Notes are kept in notes.json in the results directory.

    Examples:
      gaudi-perf note bloomz7b-8x-graphs-kvcache "slower since the new firmware; reported on 2026-01-31"
      gaudi-perf note --list
      gaudi-perf note --remove 1
    """
    if text is not None and (list_all or remove is not None):
        raise UserError(f"note: {'--list' if list_all else '--remove'} adds no note: leave it or the text out")
    require_results(results_dir)
    store = NotesStore(results_dir)
    if remove is not None:
        gone = store.remove(remove)
        echo(f"removed: {gone.case}: {gone.text}", err=as_json)
    elif not list_all:
        if case is None or text is None:
            raise UserError(
                'note: write a case and a text, as bloomz7b-8x-graphs-kvcache "slower since ...", or --list'
            )
        fields = {"case": case, "text": text, "device": device, "added_at": f"{datetime.now(timezone.utc):%FT%TZ}"}
        try:
            store.add(msgspec.convert(fields, Note))
        except msgspec.ValidationError as error:
            raise UserError(f"note: {error}") from None
        echo(f"noted: {case}: {text}", err=as_json)
    notes = store.list()
    if as_json:
        echo_json(Notes(notes=list(notes)))
    elif list_all and notes:
        echo_table(
            ("", "case", "device", "added (UTC)", "note"),
            [
                (str(number), one.case, one.device or "any", minute(one.added_at), one.text)
                for number, one in enumerate(notes, 1)
            ],
            right=("",),
        )
    elif list_all:
        echo("there are no notes")
