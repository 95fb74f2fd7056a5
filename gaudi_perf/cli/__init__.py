"""Floor 6: the command line ``gaudi-perf``. Commands import what they need when they run, so that it starts fast."""

from __future__ import annotations

import click

import gaudi_perf
from gaudi_perf.cli.audit import audit
from gaudi_perf.cli.baselines import baselines
from gaudi_perf.cli.bisect import bisect
from gaudi_perf.cli.common import Group
from gaudi_perf.cli.compare import compare
from gaudi_perf.cli.complete import complete
from gaudi_perf.cli.doctor import doctor
from gaudi_perf.cli.history import history
from gaudi_perf.cli.note import note
from gaudi_perf.cli.notify import notify
from gaudi_perf.cli.releases import releases
from gaudi_perf.cli.report import report
from gaudi_perf.cli.site import site
from gaudi_perf.cli.table import table


@click.group("gaudi-perf", cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(gaudi_perf.__version__, prog_name="gaudi-perf")
def main() -> None:
    """Detect latency regressions in text generation: baselines, comparisons, reports.

    pytest measures; this command reads and stores what was measured.

    Examples, for a new SynapseAI release:
      gaudi-perf doctor                                   is this machine fit to measure?
      pytest perf_tests -k bloomz7b --runs 5              measure
      gaudi-perf report                                   the summary again
      gaudi-perf baselines diff results                   what a refresh would change
      gaudi-perf baselines refresh results                make it the new level
      gaudi-perf compare synapse-1.24.0 synapse-1.23.0    what the release changed
      gaudi-perf history                                  since when is it slower?
      gaudi-perf audit                                    how often verdicts are wrong here

    Exit status of every command: 0 if all is well, 1 if there is something to look at (unfit, refused, slower, a
    problem found), 2 for a mistake in the call or in a file. NO_COLOR and FORCE_COLOR are respected.
    """


for command in (
    audit,
    baselines,
    bisect,
    compare,
    complete,
    doctor,
    history,
    note,
    notify,
    releases,
    report,
    site,
    table,
):  # a line each, so that new ones do not meet
    main.add_command(command)
