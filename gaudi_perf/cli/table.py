"""``gaudi-perf table``: the article's table, from the stored baselines."""

from __future__ import annotations

from pathlib import Path

import click

from gaudi_perf.cli.common import Command, baselines_option, echo_json, echo_words, existing_store
from gaudi_perf.reports.answers import TableAnswer
from gaudi_perf.reports.article import REFERENCE, article_table, parse_price
from gaudi_perf.reports.page.render import render_words
from gaudi_perf.reports.text import markdown
from gaudi_perf.vocabulary.errors import UserError


@click.command(cls=Command)
@click.option("--device", "devices", multiple=True, metavar="NAME", help="Only this device; may be repeated.")
@click.option(
    "--stack", "stacks", multiple=True, metavar="STACK", help="Only this stack, as synapse-1.8.0; repeatable."
)
@click.option("--newest", is_flag=True, help="Only the newest stack of each device that has the model.")
@click.option("--reference", default="a100-80gb", show_default=True, metavar="NAME", help="Speed-ups are against it.")
@click.option(
    "--dollars-per-hour", "given", multiple=True, metavar="DEVICE=USD[/N]", help="Price of a server of N devices (8)."
)
@click.option("--all", "everything", is_flag=True, help="Every configuration, not just the fastest.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "markdown", "html", "json"]),
    default="terminal",
    help="How it is written.",
)
@click.option("--markdown", "form", flag_value="markdown", help="The same as --format markdown.")
@click.option("--json", "form", flag_value="json", help="The same as --format json; docs/scripting.md has its schema.")
@baselines_option
def table(
    devices: tuple[str, ...],
    stacks: tuple[str, ...],
    newest: bool,
    reference: str,
    given: tuple[str, ...],
    everything: bool,
    form: str,
    baselines_dir: Path,
) -> None:
    """Show latency per model, device count and device, with speed-ups and cost.

    The numbers are the levels of the stored baselines, measured or published; the stand-in shapes of the CPU and the
    emulated Gaudi are left out. With --dollars-per-hour, the cost of a million new tokens is shown, one request at a
    time; fewer devices than the server has cost their share.

    Examples:
      gaudi-perf table
      gaudi-perf table --newest --format markdown
      gaudi-perf table --format html > table.html
      gaudi-perf table --stack synapse-1.8.0 --dollars-per-hour gaudi2=10.42
    """
    prices = dict(map(parse_price, given))
    if len(prices) < len(given):
        raise UserError("--dollars-per-hour: names a device more than once: give each one price")
    store = existing_store(baselines_dir)
    entries = [entry for place in store.list() for entry in store.load(place).entries]
    named = {entry.device.name for entry in entries}
    asked = [("--device", name) for name in devices] + [("--dollars-per-hour", name) for name in prices]
    for option, name in (*asked, ("--reference", reference)):
        if name not in named and name != REFERENCE:
            raise UserError(f"{option} {name}: there is no baseline of this device; there are: {_listed(named)}")
    for name in stacks:
        if not any(_is(entry.stack.name, (name,)) for entry in entries):
            known = _listed({entry.stack.name for entry in entries})
            raise UserError(f"--stack {name}: there is no baseline of this stack; there are: {known}")
    chosen = [
        entry
        for entry in entries
        if entry.device.name == reference
        or ((not devices or entry.device.name in devices) and (not stacks or _is(entry.stack.name, stacks)))
    ]
    article = article_table(chosen, reference=reference, prices=prices, newest=newest, everything=everything)
    if not article.rows:
        there = ", ".join(dict.fromkeys(entry.label for entry in entries)) or "none"
        raise UserError(f"{baselines_dir}: no baseline of a full-size model is left; there are: {there}")
    words = article.words
    if form == "json":
        echo_json(TableAnswer(rows=list(article.rows), notes=list(article.notes)))
    elif form == "markdown":
        click.echo(markdown(words))
    elif form == "html":
        click.echo(render_words("Latency of BLOOMZ, by device and stack", words), nl=False)
    else:
        echo_words(words)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _is(stack_name: str, wanted: tuple[str, ...]) -> bool:
    return any(name in (stack_name, stack_name.partition("-")[2]) for name in wanted)
