"""``gaudi-perf baselines waive``: known regressions that may pass until a version."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gaudi_perf.cli.common import Command, baselines_option, echo_table, existing_store, shown, value_of
from gaudi_perf.session.values import share
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import percent_set

if TYPE_CHECKING:
    from gaudi_perf.stores.places import Place
    from gaudi_perf.vocabulary.waiver import Waiver

_MOST = 100.0
"""A slowdown by as much is waived at most."""


@click.command(cls=Command)
@click.argument("case", required=False)
@click.option("--device", metavar="NAME", help="The device, for instance gaudi2.")
@click.option("--until", metavar="VERSION", help="From this version on the case fails again.")
@click.option("--reason", metavar="TEXT", help="Why it may pass, for people.")
@click.option("--up-to", metavar="PERCENT", help="Only up to this slowdown, for instance 10%; a worse one fails.")
@click.option(
    "--kind", default="synapse", show_default=True, help="Whose version --until is: synapse, cuda, torch, ..."
)
@click.option("--list", "list_all", is_flag=True, help="List all waivers, expired ones too.")
@click.option("--remove", is_flag=True, help="Remove the waivers of the case on the device.")
@baselines_option
def waive(
    case: str | None,
    device: str | None,
    until: str | None,
    reason: str | None,
    up_to: str | None,
    kind: str,
    list_all: bool,
    remove: bool,
    baselines_dir: Path,
) -> None:
    r"""Let a known regression of CASE pass until a version, or list or remove waivers.

    A case has one waiver per device and kind of stack; a new one takes the place of the old one.

    Examples:
      gaudi-perf baselines waive bloomz7b-8x-graphs-kvcache --device gaudi2 --until 1.25.0 \
          --up-to 10% --reason "collectives are slower since 1.23"
      gaudi-perf baselines waive --list
      gaudi-perf baselines waive bloomz7b-8x-graphs-kvcache --device gaudi2 --remove
    """
    existing_store(baselines_dir)
    if list_all:
        _list(baselines_dir)
    elif case is None:
        raise UserError("waive: name the case, for instance bloomz7b-8x-graphs-kvcache, or ask for --list")
    elif device is None:
        raise UserError("waive: --device is missing: name the device, for instance --device gaudi2")
    elif remove:
        from gaudi_perf.stores.waivers import WaiverStore

        for gone in WaiverStore(baselines_dir).remove(case, device):
            click.echo(shown(f"removed: {gone.case} on {gone.device} until {gone.until_stack}: {gone.reason}"))
    else:
        _add(baselines_dir, case, device, until, reason, up_to, kind)


def _list(directory: Path) -> None:
    if not echo_waivers(directory):
        click.echo("there are no waivers")


def echo_waivers(directory: Path) -> bool:
    """Print all waivers, expired ones too; whether there are any."""
    from gaudi_perf.stores.baselines import BaselineStore
    from gaudi_perf.stores.waivers import WaiverStore

    waivers = WaiverStore(directory).list()
    if not waivers:
        return False
    places = BaselineStore(directory).list()
    echo_table(
        [(title, "left") for title in ("waived case", "device", "until", "up to", "added", "state", "reason")],
        [
            (
                waiver.case,
                waiver.device,
                waiver.until_stack,
                "-" if waiver.up_to_ratio is None else percent_set(waiver.up_to_ratio - 1),
                waiver.added_on,
                _state(waiver, places),
                waiver.reason,
            )
            for waiver in waivers
        ],
    )
    return True


def _state(waiver: Waiver, places: Sequence[Place]) -> tuple[str, str]:
    from gaudi_perf.vocabulary.stack import parse_version

    over = [
        place.stack_name
        for place in places
        if (place.device, place.kind) == (waiver.device, waiver.kind) and place.order >= parse_version(waiver.until)
    ]
    return (f"expired on {over[-1]}", "yellow") if over else ("in effect", "")


def _add(
    directory: Path, case: str, device: str, until: str | None, reason: str | None, up_to: str | None, kind: str
) -> None:
    from datetime import datetime, timezone

    import msgspec

    from gaudi_perf.stores.waivers import WaiverStore
    from gaudi_perf.vocabulary.configuration import configuration_of
    from gaudi_perf.vocabulary.models import model_named
    from gaudi_perf.vocabulary.stack import STACK_KINDS
    from gaudi_perf.vocabulary.waiver import Waiver

    if until is None or reason is None:
        missing = "--until" if until is None else "--reason"
        raise UserError(f"waive: {missing} is missing: a waiver has a version at which it ends, and a reason")
    configuration = configuration_of(case)
    if configuration is None:
        raise UserError(f"{case!r} is not a case id: write it like bloomz7b-8x-graphs-kvcache")
    model_named(configuration.model)
    if kind not in STACK_KINDS:
        raise UserError(f"--kind {kind}: the kinds of stack are {', '.join(STACK_KINDS)}")
    fields = {
        "case": case,
        "device": device,
        "reason": reason,
        "until": until,
        "kind": kind,
        "up_to_ratio": None if up_to is None else 1 + value_of(partial(share, most=_MOST), up_to, "--up-to"),
        "added_on": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }
    try:
        waiver = msgspec.convert(fields, Waiver)
    except msgspec.ValidationError as error:
        raise UserError(f"waive: {error}") from None
    WaiverStore(directory).add(waiver)
    limit = "" if waiver.up_to_ratio is None else f" up to {(waiver.up_to_ratio - 1) * 100:.3g} % slower"
    click.echo(shown(f"waived: {case} on {device}{limit}, on versions before {waiver.until_stack}: {reason}"))
