"""``gaudi-perf baselines``: list, show and verify; the commands that write are in modules of their own."""

from __future__ import annotations

from pathlib import Path

import click

from gaudi_perf.cli import common
from gaudi_perf.cli.importing import import_command
from gaudi_perf.cli.refreshing import diff, refresh
from gaudi_perf.cli.waiving import echo_waivers, listed_waivers, waive
from gaudi_perf.reports.answers import BaselinesAnswer, ListedBaseline, ListedWaiver, VerifyAnswer
from gaudi_perf.reports.baselines import description
from gaudi_perf.vocabulary.errors import UserError, noted
from gaudi_perf.vocabulary.formats import counted


@click.group(cls=common.Group)
def baselines() -> None:
    """List, show, refresh and check the stored levels.

    A baseline is a JSON file for a device and a stack, baselines/gaudi2/synapse-1.24.0.json, and is called
    gaudi2/synapse-1.24.0 here.

    Examples:
      gaudi-perf baselines list
      gaudi-perf baselines show gaudi2/synapse-1.10.0
      gaudi-perf baselines refresh results --dry-run
    """


@baselines.command("list", cls=common.Command)
@click.option("--device", metavar="NAME", help="Only this device, for instance gaudi2.")
@common.json_option
@common.baselines_option
def list_command(device: str | None, as_json: bool, baselines_dir: Path) -> None:
    """List the baselines, by device and version, and all waivers.

    Examples:
      gaudi-perf baselines list
      gaudi-perf baselines list --device gaudi2
    """
    places = common.existing_store(baselines_dir).list()
    chosen = [place for place in places if device in (None, place.device)]
    if not chosen and device is None:
        raise UserError(f"{baselines_dir}: holds no baselines: store some with gaudi-perf baselines refresh")
    if not chosen:
        there = ", ".join(sorted({place.device for place in places})) or "none"
        raise UserError(f"--device {device}: {baselines_dir} has no baselines of it; there are: {there}")
    waivers = listed_waivers(baselines_dir, places)
    if as_json:
        listed = [ListedBaseline(device=one.device, stack=one.stack_name, file=str(one.path)) for one in chosen]
        common.echo_json(BaselinesAnswer(baselines=listed, waivers=waivers))
        return
    rows = [(place.device, place.stack_name, str(place.path)) for place in chosen]
    common.echo_table(("device", "stack", "file"), rows)
    echo_waivers(waivers)


@baselines.command(cls=common.Command)
@click.argument("baseline", metavar="DEVICE/STACK")
@common.json_option
@common.baselines_option
def show(baseline: str, as_json: bool, baselines_dir: Path) -> None:
    """Show one baseline: its stack, and every case with its level and where it came from.

    Examples:
      gaudi-perf baselines show gaudi2/synapse-1.10.0
      gaudi-perf baselines show gaudi2/synapse-1.10.0 --json
    """
    device, slash, stack_name = baseline.partition("/")
    store = common.existing_store(baselines_dir)
    if not slash:
        there = ", ".join(place.label for place in store.list()) or "none"
        raise UserError(f"{baseline!r}: write a device and a stack, as gaudi2/synapse-1.24.0; there are: {there}")
    document = store.read(device, stack_name)
    if as_json:
        common.echo_json(document)
    else:
        common.echo_words(description(document))


@baselines.command(cls=common.Command)
@common.json_option
@common.baselines_option
def verify(as_json: bool, baselines_dir: Path) -> None:
    """Read every baseline and the waivers, and report everything that is wrong.

    Exit status 1 if anything is. Run it on a pull request that changes baselines, and after a merge.

    Examples:
      gaudi-perf baselines verify
      gaudi-perf baselines verify --baselines-dir /srv/baselines
    """
    store = common.existing_store(baselines_dir)
    problems = list(store.problems())
    places = [] if problems else store.list()
    waivers: list[ListedWaiver] = []
    with noted(problems):
        waivers = listed_waivers(baselines_dir, places)
    ended = [
        f"the waiver of {one.waiver.case} on {one.waiver.device} ends at {one.waiver.until_stack}, and there is a "
        f"baseline of {one.expired_on}: it fails again there; remove the waiver when it is mended"
        for one in waivers
        if one.expired_on
    ]
    if as_json:
        common.echo_json(VerifyAnswer(baselines=len(places), waivers=len(waivers), problems=problems, notes=ended))
    else:
        for line in (*problems, *(f"note: {text}" for text in ended)):
            common.echo(line)
        whole = f"well-formed: {counted(len(places), 'baseline')} and {counted(len(waivers), 'waiver')}"
        common.echo(counted(len(problems), "problem") if problems else whole)
    if problems:
        raise click.exceptions.Exit(1)


for command in (diff, refresh, import_command, waive):
    baselines.add_command(command)
