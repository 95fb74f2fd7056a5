"""``gaudi-perf site``: results and baselines as a static site."""

from __future__ import annotations

from pathlib import Path

import click

from gaudi_perf.cli.common import Command, baselines_option, echo, left_out, path_option, results_option
from gaudi_perf.reports.site import write_site
from gaudi_perf.vocabulary.formats import counted


@click.command(cls=Command)
@path_option("--output", required=True, metavar="DIR", help="Where the site is written.")
@click.option("--name", default="gaudi-perf", show_default=True, metavar="TEXT", help="What it is called.")
@click.option("--address", default="", metavar="URL", help="Where it is published, for the links of its feed.")
@baselines_option
@results_option
def site(output: Path, name: str, address: str, baselines_dir: Path, results_dir: Path) -> None:
    """Make a static site: the newest session, every case's trend, any two sessions or releases compared.

    It needs no server and no network: open index.html, or publish the directory. There are an Atom feed (feed.xml), a
    badge (badge.svg), and an address for each case and session; filters and orders stand in the address, too. Called
    again, it reads what is new under the results directory and writes what changed.

    Examples:
      gaudi-perf site --output public
      gaudi-perf site --output public --name "Gaudi nightly" --address https://perf.example.com
    """
    sessions, written, problems = write_site(output, results_dir, baselines_dir, name=name, address=address)
    left_out(problems)
    echo(f"{output}: {counted(sessions, 'session')}, {counted(written, 'file')} written: {output / 'index.html'}")
