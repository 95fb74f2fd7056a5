"""``gaudi-perf baselines``: list, show and verify; the commands that write are in modules of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gaudi_perf.cli.common import Command, Group, baselines_option, echo_table, echo_words, existing_store, shown
from gaudi_perf.cli.importing import import_command
from gaudi_perf.cli.refreshing import diff, refresh
from gaudi_perf.cli.waiving import echo_waivers, waive
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted

if TYPE_CHECKING:
    from gaudi_perf.stores.places import Place


@click.group(cls=Group)
def baselines() -> None:
    """The stored levels: look at them, refresh them, check them.

    A baseline is a JSON file for a device and a stack, baselines/gaudi2/synapse-1.24.0.json, and is called
    gaudi2/synapse-1.24.0 here.

    Examples:
      gaudi-perf baselines list
      gaudi-perf baselines show gaudi2/synapse-1.10.0
      gaudi-perf baselines refresh results --dry-run
    """


@baselines.command("list", cls=Command)
@click.option("--device", metavar="NAME", help="Only this device, for instance gaudi2.")
@baselines_option
def list_command(device: str | None, baselines_dir: Path) -> None:
    """List the baselines, by device and version, and all waivers.

    Examples:
      gaudi-perf baselines list
      gaudi-perf baselines list --device gaudi2
    """
    places = existing_store(baselines_dir).list()
    chosen = [place for place in places if device in (None, place.device)]
    if not chosen:
        raise UserError(_none(baselines_dir, device, places))
    echo_table(
        [("device", "left"), ("stack", "left"), ("file", "left")],
        [(place.device, place.stack_name, str(place.path)) for place in chosen],
    )
    echo_waivers(baselines_dir)


@baselines.command(cls=Command)
@click.argument("baseline", metavar="DEVICE/STACK")
@click.option("--json", "as_json", is_flag=True, help="The document as it is stored.")
@baselines_option
def show(baseline: str, as_json: bool, baselines_dir: Path) -> None:
    """Show one baseline: its stack, and every case with its level and where it came from.

    Examples:
      gaudi-perf baselines show gaudi2/synapse-1.10.0
      gaudi-perf baselines show gaudi2/synapse-1.10.0 --json
    """
    from gaudi_perf.reports.baselines import description
    from gaudi_perf.vocabulary.baseline import encode_baseline

    device, slash, stack_name = baseline.partition("/")
    store = existing_store(baselines_dir)
    if not slash:
        there = ", ".join(place.label for place in store.list()) or "none"
        raise UserError(f"{baseline!r}: write a device and a stack, as gaudi2/synapse-1.24.0; there are: {there}")
    document = store.read(device, stack_name)
    if as_json:
        click.echo(encode_baseline(document).decode(), nl=False)
        return
    echo_words(description(document))


@baselines.command(cls=Command)
@baselines_option
def verify(baselines_dir: Path) -> None:
    """Read every baseline and the waivers, and say everything that is wrong.

    Exit status 1 if anything is. For a pull request that changes baselines, and after a merge.

    Examples:
      gaudi-perf baselines verify
      gaudi-perf baselines verify --baselines-dir /srv/baselines
    """
    from gaudi_perf.stores.waivers import WaiverStore

    store = existing_store(baselines_dir)
    problems = list(store.problems())
    waived = 0
    try:
        waivers = WaiverStore(baselines_dir).list()
        waived = len(waivers)
    except UserError as error:
        problems.append(str(error))
        waivers = ()
    for problem in problems:
        click.echo(shown(problem))
    if problems:
        click.echo(counted(len(problems), "problem"))
        raise click.exceptions.Exit(1)
    places = store.list()
    for waiver in waivers:
        newest = [place for place in places if (place.device, place.kind) == (waiver.device, waiver.kind)]
        over = [place for place in newest if _reached(waiver.until, place)]
        if over:
            click.echo(
                shown(
                    f"note: the waiver of {waiver.case} on {waiver.device} ends at {waiver.until_stack}, and there is "
                    f"a baseline of {over[-1].stack_name}: it fails again there; remove the waiver when it is mended"
                )
            )
    click.echo(f"well-formed: {counted(len(places), 'baseline')} and {counted(waived, 'waiver')}")


baselines.add_command(diff)
baselines.add_command(refresh)
baselines.add_command(import_command)
baselines.add_command(waive)


def _reached(until: str, place: Place) -> bool:
    from gaudi_perf.vocabulary.stack import parse_version

    return place.order >= parse_version(until)


def _none(directory: Path, device: str | None, places: list[Place]) -> str:
    if device is None:
        return f"{directory}: holds no baselines: store some with gaudi-perf baselines refresh"
    there = ", ".join(sorted({place.device for place in places})) or "none"
    return f"--device {device}: {directory} has no baselines of it; there are: {there}"
