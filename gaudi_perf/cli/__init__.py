"""Floor 6: the command line ``gaudi-perf``."""

from __future__ import annotations

from importlib import import_module

import click

import gaudi_perf
from gaudi_perf.cli.common import Group

_COMMANDS = (
    "audit",
    "baselines",
    "bisect",
    "compare",
    "complete",
    "doctor",
    "history",
    "note",
    "notify",
    "releases",
    "report",
    "site",
    "table",
)  # a line each, so that new ones do not meet


class _Main(Group):
    """A command's module, which has its name, is imported when the command is asked for: each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"gaudi_perf.cli.{cmd_name}"), cmd_name)
        return command


@click.group("gaudi-perf", cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
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
