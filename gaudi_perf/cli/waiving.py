"""``gaudi-perf baselines waive``: known regressions that may pass until a version."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import click
import msgspec

from gaudi_perf.cli import common
from gaudi_perf.reports.answers import ListedWaiver, WaiversAnswer
from gaudi_perf.reports.wording import waiver_line
from gaudi_perf.session import values
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.models import Catalogue
from gaudi_perf.stores.places import Place
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.configuration import configuration_of
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import percent_set, short
from gaudi_perf.vocabulary.stack import STACK_KINDS, parse_version
from gaudi_perf.vocabulary.waiver import Waiver


@click.command(cls=common.Command)
@click.argument("case", required=False)
@click.option("--device", metavar="NAME", help="The device, for instance gaudi2.")
@click.option("--until", metavar="VERSION", help="From this version on the case fails again.")
@click.option("--reason", metavar="TEXT", callback=common.parsed(values.reason), help="Why it may pass, for people.")
@click.option(
    "--up-to",
    metavar="PERCENT",
    callback=common.parsed(partial(values.share, most=100.0)),
    help="Only up to this slowdown, for instance 10%; a worse one fails.",
)
@click.option(
    "--kind", default="synapse", show_default=True, help="Whose version --until is: synapse, cuda, torch, ..."
)
@click.option("--unmeasured", is_flag=True, help="Accept a device that has neither a baseline nor a run.")
@click.option("--list", "list_all", is_flag=True, help="List all waivers, expired ones too.")
@click.option("--remove", is_flag=True, help="Remove the waivers of the case on the device.")
@common.json_option
@common.baselines_option
@common.results_option
def waive(
    case: str | None,
    device: str | None,
    until: str | None,
    reason: str | None,
    up_to: float | None,
    kind: str,
    unmeasured: bool,
    list_all: bool,
    remove: bool,
    as_json: bool,
    baselines_dir: Path,
    results_dir: Path,
) -> None:
    r"""Let a known regression of CASE pass until a version, or list or remove waivers.

    A case has one waiver per device and kind of stack; a new one replaces the old one. A device that
    was never measured is refused, since a waiver with a misspelt device waives nothing.

    Examples:
      gaudi-perf baselines waive bloomz7b-8x-graphs-kvcache --device gaudi2 --until 1.25.0 \
          --up-to 10% --reason "collectives are slower since 1.23"
      gaudi-perf baselines waive --list
      gaudi-perf baselines waive bloomz7b-8x-graphs-kvcache --device gaudi2 --remove
    """
    beside = {"--until": until, "--reason": reason, "--up-to": up_to, "--unmeasured": unmeasured or None}
    if list_all:
        beside |= {"CASE": case, "--device": device, "--remove": remove or None}
    if given := [name for name, value in beside.items() if value is not None and (list_all or remove)]:
        raise UserError(f"{'--list' if list_all else '--remove'}: {given[0]} says nothing beside it: leave one out")
    store, waivers = common.existing_store(baselines_dir), WaiverStore(baselines_dir)
    added: list[Waiver] = []
    removed: tuple[Waiver, ...] = ()
    if not list_all:
        if case is None:
            raise UserError("waive: name the case, for instance bloomz7b-8x-graphs-kvcache, or ask for --list")
        if device is None:
            raise UserError("waive: --device is missing: name the device, for instance --device gaudi2")
        if remove:
            removed = waivers.remove(case, device)
        else:
            added.append(_waiver(store, case, device, until, reason, up_to, kind))
            if not unmeasured:
                _require_measured(device, store, results_dir)
            waivers.add(added[0])
    there = listed_waivers(baselines_dir, store.list()) if list_all or as_json else []
    if as_json:
        common.echo_json(WaiversAnswer(added=added, removed=list(removed), waivers=there))
        return
    for one in added:
        common.echo(f"waived: {waiver_line(one, None)}")
    for gone in removed:
        common.echo(f"removed: {waiver_line(gone, None)}")
    if list_all and not echo_waivers(there):
        common.echo("there are no waivers")


def listed_waivers(directory: Path, places: Sequence[Place]) -> list[ListedWaiver]:
    """All waivers, expired ones too, checked against the stored baselines.
    Raises UserError if the file of waivers is malformed.
    """
    found = []
    for waiver in WaiverStore(directory).list():
        own = [place for place in places if (place.device, place.kind) == (waiver.device, waiver.kind)]
        ended = [place.stack_name for place in own if place.order >= parse_version(waiver.until)]
        found.append(ListedWaiver(waiver=waiver, expired_on=ended[-1] if ended else ""))
    return found


def echo_waivers(waivers: Sequence[ListedWaiver]) -> bool:
    """Print waivers as a table; whether there are any."""
    if not waivers:
        return False
    common.echo_table(
        ("waived case", "device", "until", "up to", "added", "state", "reason"),
        [
            (
                one.waiver.case,
                one.waiver.device,
                one.waiver.until_stack,
                "-" if one.waiver.up_to_ratio is None else percent_set(one.waiver.up_to_ratio - 1),
                one.waiver.added_on,
                (f"expired on {one.expired_on}", "yellow") if one.expired_on else ("in effect", ""),
                one.waiver.reason,
            )
            for one in waivers
        ],
    )
    return True


def _require_measured(device: str, store: BaselineStore, results: Path) -> None:
    """Refuse a device of which neither a baseline nor a run is there."""
    known = {place.device for place in store.list()}
    if device not in known and results.is_dir():
        known |= {run.device.name for run in read_history(results).runs}
    if device not in known:
        there = ", ".join(sorted(known)) or "none"
        raise UserError(
            f"--device {device}: nobody has measured this device: {store.directory} and {results} have: {there}; with "
            "--unmeasured it is waived all the same"
        )


def _waiver(
    store: BaselineStore, case: str, device: str, until: str | None, reason: str | None, up_to: float | None, kind: str
) -> Waiver:
    if until is None or reason is None:
        missing = "--until" if until is None else "--reason"
        raise UserError(f"waive: {missing} is missing: a waiver has a version at which it ends, and a reason")
    configuration = configuration_of(case)
    if configuration is None:
        raise UserError(f"{short(case)!r} is not a case id: write it like bloomz7b-8x-graphs-kvcache")
    model, names = configuration.model, Catalogue(Path()).names
    stored = (entry for place in store.list() for entry in store.load(place).cases)
    if model not in names and not any(entry.case.configuration.model == model for entry in stored):
        raise UserError(f"unknown model {model!r}: the models are {', '.join(names)}")
    if kind not in STACK_KINDS:
        raise UserError(f"--kind {kind}: the kinds of stack are {', '.join(STACK_KINDS)}")
    fields = {
        "case": case,
        "device": device,
        "reason": reason,
        "until": until,
        "kind": kind,
        "up_to_ratio": None if up_to is None else 1 + up_to,
        "added_on": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }
    try:
        return msgspec.convert(fields, Waiver)
    except msgspec.ValidationError as error:
        raise UserError(f"waive: {error}") from None
