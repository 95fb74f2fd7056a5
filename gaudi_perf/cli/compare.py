"""``gaudi-perf compare``: two baselines, stacks or results directories, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from gaudi_perf.cli import common
from gaudi_perf.judging.entries import compared_entries
from gaudi_perf.judging.noise import NoiseHistory
from gaudi_perf.reports.answers import compare_answer
from gaudi_perf.reports.baselines import Pair, comparison
from gaudi_perf.reports.text import markdown
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.places import baselines_named
from gaudi_perf.stores.results import read_runs, require_one_stack, why_not_usable
from gaudi_perf.vocabulary.baseline import CaseBaseline, Entry
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import Comparability, Run
from gaudi_perf.vocabulary.verdict import VerdictKind


@click.command(cls=common.Command)
@click.argument("candidate", metavar="A")
@click.argument("baseline", metavar="B")
@common.case_option
@common.tolerance_option()
@click.option("--markdown", "as_markdown", is_flag=True, help="As Markdown, for an issue or a job summary.")
@common.json_option
@common.baselines_option
@common.results_option
def compare(
    candidate: str,
    baseline: str,
    case: str,
    tolerance: float,
    as_markdown: bool,
    as_json: bool,
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
    store, problems = BaselineStore(baselines_dir), list[str]()
    ours, theirs = _side(candidate, store, problems), _side(baseline, store, problems)
    common.left_out(problems)
    history = NoiseHistory.of(results_dir, store)
    pairs = [_pair(one, partners, tolerance, history) for one in ours if (partners := _partners(one, theirs))]
    alone = [f"{_who(one)}: only in {candidate}" for one in ours if not _partners(one, theirs)]
    alone += [f"{_who(one)}: only in {baseline}" for one in theirs if not _partners(one, ours)]
    chosen = [pair for pair in pairs if case in pair.candidate.case.id]
    chosen.sort(key=lambda pair: (bool(pair.differing), pair.candidate.device.name, -pair.ratio))
    if not chosen:
        of_case = f" whose id has {case!r}" if case else ""
        some = f" ({'; '.join(alone[:4])})" if alone else ""
        raise UserError(f"{candidate} and {baseline} have no case of the same device in common{of_case}{some}")
    others = [line for line in dict.fromkeys(alone) if case in line]
    if as_json:
        common.echo_json(compare_answer(chosen, others, candidate, baseline))
    else:
        words = comparison(chosen, others, f"{candidate} against {baseline}")
        click.echo(markdown(words)) if as_markdown else common.echo_words(words)
    if any(pair.judged is not None and pair.judged.kind is VerdictKind.REGRESSED for pair in chosen):
        raise click.exceptions.Exit(1)


def _side(text: str, store: BaselineStore, problems: list[str]) -> list[Entry]:
    """What a side of a comparison names; a baseline goes before a directory of the same name. A sentence is added for
    whatever of it cannot be used.
    """
    named = baselines_named(store.directory, text, text)
    if not isinstance(named, Path):
        return [entry for place in named for entry in store.load(place).entries]
    read = read_runs(named)
    left_out = [*read.problems, *(f"run {run.run_id} {why}" for run in read.runs if (why := why_not_usable(run)))]
    cases: dict[tuple[str, Case], list[Run]] = {}
    groups: dict[Comparability, list[Run]] = {}
    for run in read.runs:
        if run.usable:
            cases.setdefault((run.device.name, run.case), []).append(run)
            groups.setdefault(run.comparability, []).append(run)
    if not groups:
        why = f": {left_out[0]}" if left_out else ""
        raise UserError(f"{named}: holds no run that can be compared{why}")
    for runs in cases.values():
        require_one_stack(runs, str(named))
    problems += left_out
    return [Entry(str(named), runs[0].device, runs[0].stack, CaseBaseline.of(runs)) for runs in groups.values()]


def _partners(entry: Entry, others: Sequence[Entry]) -> list[Entry]:
    """The entries of the same configuration and device."""
    of = entry.case.case.configuration, entry.device.name
    return [other for other in others if (other.case.case.configuration, other.device.name) == of]


def _pair(entry: Entry, partners: Sequence[Entry], tolerance: float, history: NoiseHistory) -> Pair:
    """An entry and the partner that differs least; why they cannot be compared, or the verdict."""
    published = entry.case.published is not None
    candidates = [(other.differences(entry.comparability, published=published), other) for other in partners]
    differing, best = min(candidates, key=lambda one: (len(one[0]), one[1].case.provenance != "measured"))
    judged = None if differing else compared_entries(entry, best, tolerance, history)
    return Pair(entry, best, tuple(differing), judged)


def _who(entry: Entry) -> str:
    return f"{entry.device.name} {entry.case.id}"
