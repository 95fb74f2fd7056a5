"""``gaudi-perf compare``: two baselines, stacks or results directories, case by case."""

from __future__ import annotations

from pathlib import Path

import click

from gaudi_perf.cli.common import (
    Command,
    baselines_option,
    case_option,
    echo_json,
    echo_words,
    json_option,
    left_out,
    results_option,
    share,
    tolerance_option,
)
from gaudi_perf.cli.comparing import pairs_of, side, slowest_first
from gaudi_perf.judging.noise import NoiseHistory
from gaudi_perf.reports.answers import compare_answer
from gaudi_perf.reports.baselines import comparison
from gaudi_perf.reports.tabular import markdown
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.verdict import VerdictKind


@click.command(cls=Command)
@click.argument("candidate", metavar="A")
@click.argument("baseline", metavar="B")
@case_option
@tolerance_option
@click.option("--markdown", "as_markdown", is_flag=True, help="As Markdown, for an issue or a job summary.")
@json_option
@click.option("--exit-code", is_flag=True, hidden=True, help="It is always so: exit status 1 if a case REGRESSED.")
@baselines_option
@results_option
def compare(
    candidate: str,
    baseline: str,
    case: str,
    tolerance: str,
    as_markdown: bool,
    as_json: bool,
    exit_code: bool,
    baselines_dir: Path,
    results_dir: Path,
) -> None:
    """Compare A with B, case by case: the change, its interval, and the verdict.

    A side is a device and a stack (gaudi2/synapse-1.24.0), a stack on every device that has it (synapse-1.24.0, or just
    1.24.0), or a results directory. "9.6 % slower" means that A takes 9.6 % longer than B. Entries of another workload,
    scale, weights or host class are incomparable, and the differing fields are named. Where both are published numbers,
    no spread is known: there is a ratio and no verdict. Exit status 1 if a case REGRESSED.

    Examples:
      gaudi-perf compare gaudi/synapse-1.10.0 gaudi/synapse-1.8.0
      gaudi-perf compare 1.24.0 1.23.0 --case bloomz7b
      gaudi-perf compare results gaudi2/synapse-1.23.0 --json
    """
    if as_json and as_markdown:
        raise UserError("--json and --markdown: are two forms of the same answer: leave one out")
    store = BaselineStore(baselines_dir)
    ours, theirs = side(candidate, store), side(baseline, store)
    left_out((*ours.left_out, *theirs.left_out))
    history = NoiseHistory.of(results_dir, store)
    pairs, alone = pairs_of(ours, theirs, share(tolerance, "--tolerance"), history)
    chosen = slowest_first([pair for pair in pairs if case in pair.candidate.case.id])
    if not chosen:
        of_case = f" whose id has {case!r}" if case else ""
        some = f" ({'; '.join(alone[:4])})" if alone else ""
        raise UserError(f"{candidate} and {baseline} have no case of the same device in common{of_case}{some}")
    others = [line for line in alone if case in line]
    if as_json:
        echo_json(compare_answer(chosen, others, candidate, baseline))
    else:
        words = comparison(chosen, others, f"{candidate} against {baseline}")
        click.echo(markdown(words)) if as_markdown else echo_words(words)
    if any(pair.judged is not None and pair.judged.kind is VerdictKind.REGRESSED for pair in chosen):
        raise click.exceptions.Exit(1)
