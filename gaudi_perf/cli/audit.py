"""``gaudi-perf audit``: how often this installation's verdicts are wrong, and which slowdowns they detect."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from gaudi_perf.cli import common
from gaudi_perf.judging.auditing import History, audit_history, histories, usual_design
from gaudi_perf.reports.answers import AuditAnswer, ReplayedCase
from gaudi_perf.statistics.audit import slowdowns
from gaudi_perf.statistics.verdict import ComparisonSettings
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted, percent, percent_set
from gaudi_perf.vocabulary.metrics import RUNS_FOR_BASELINES
from gaudi_perf.vocabulary.verdict import VerdictKind

_FEW = 3
_MANY_ALARMS = 0.05
_NUMBERS = ("runs/sessions", "replayed", "false alarms", "detects", "wrongly UNCHANGED", "INCONCLUSIVE")


@click.command(cls=common.Command)
@common.filter_options
@common.count_option(
    "--candidates",
    "Runs of the candidate in a replayed comparison (pairs, side by side); default: what a session usually has.",
    metavar="N",
)
@common.count_option("--baselines", "Runs of the baseline; default: 5, what a refresh stores.", metavar="N")
@click.option("--side-by-side", is_flag=True, help="Replay comparisons of neighbouring runs in pairs.")
@common.tolerance_option()
@common.count_option("--repeats", "Comparisons per slowdown and case.", default=400, most=1_000_000)
@common.json_option
@common.results_option
def audit(
    case: str,
    device: str | None,
    stack: str | None,
    candidates: int | None,
    baselines: int | None,
    side_by_side: bool,
    tolerance: float,
    repeats: int,
    as_json: bool,
    results_dir: Path,
) -> None:
    """Report how often the verdicts of this installation are wrong, and the smallest slowdown that they find.

    The runs under the results directory are replayed. Of runs of the same case on the same stack and host, some are
    drawn as candidate and others as baseline, again and again: nothing changed between them, so every REGRESSED is a
    false alarm. Then the same candidates are made slower by 2 to 50 %, to see which slowdowns are found in nine of ten
    comparisons, and how often twice the tolerance is called UNCHANGED, which is wrong. Nothing is measured or written.

    As in the suite, the noise is estimated where at least ten other sessions are left to estimate it from; side by side
    needs none.

    A candidate is drawn from one session and its baseline from others, as in a nightly; a history of one session is
    cut into stretches. The history must have more runs than a comparison, better ten times as many: in a short one the
    same few runs are drawn again and again. To extend it, measure the same stack in many sessions, say with --runs 5.

    Exit status 1 if a case has more than 5 % false alarms, or every history is too short.

    Examples:
      gaudi-perf audit
      gaudi-perf audit --case bloomz7b-8x --candidates 5 --baselines 5
      gaudi-perf audit --side-by-side --candidates 10 --stack 1.24.0
    """
    if side_by_side and baselines is not None:
        raise UserError("--baselines: each run has one of the baseline beside it with --side-by-side: leave it out")
    found, unusable = histories(common.chosen_runs(results_dir, case, device, stack, "audit"))
    if unusable:
        common.echo(f"left out, INVALID or never steady: {counted(unusable, 'run')}", err=True)
    if not found:
        raise UserError(f"{results_dir}: no run is left: nothing to audit")
    replayed: list[ReplayedCase] = []
    too_short: list[str] = []
    shown: Iterable[History] = found
    if sys.stderr.isatty():  # elsewhere rich 13.7 ends with an empty line
        shown = track(found, "replaying", console=Console(stderr=True), transient=True)
    for history in shown:
        design = usual_design(history.samples, candidates, baselines, side_by_side)
        outcome = audit_history(history, design, tolerance, repeats)
        if isinstance(outcome, str):
            size = f"{counted(len(history.samples), 'run')} of {counted(history.sessions, 'session')}"
            too_short.append(f"{history.device} {history.stack} {history.case_id}: {size}: {outcome}")
            continue
        replayed.append(
            ReplayedCase(
                device=history.device,
                stack=history.stack,
                host=history.host,
                case=history.case_id,
                runs=len(history.samples),
                sessions=history.sessions,
                candidates=design.candidates,
                baselines=design.candidates if design.side_by_side else design.baselines,
                side_by_side=design.side_by_side,
                false_alarms=outcome.audit.false_alarms,
                false_alarms_high=outcome.audit.false_alarms_high,
                detects=outcome.audit.smallest_detectable_slowdown,
                wrongly_unchanged=outcome.audit.wrong_unchanged,
                inconclusive=outcome.audit.shares[0.0][VerdictKind.INCONCLUSIVE],
                noise_estimated=outcome.learned,
            )
        )
    answer = AuditAnswer(
        tolerance=tolerance,
        repeats=repeats,
        permitted_false_alarms=ComparisonSettings.false_alarms,
        left_out=unusable,
        cases=replayed,
        too_short=too_short,
    )
    many_alarms = any(one.false_alarms > _MANY_ALARMS for one in replayed)
    if as_json:
        common.echo_json(answer)
    else:
        if replayed:
            _show(answer, many_alarms)
        for sentence in too_short:
            common.echo(f"too short: {sentence}")
        if not replayed:
            common.echo("nothing to audit yet: measure the same stack in more sessions: pytest perf_tests --runs 5")
            # How many runs can be baselines if a single one is the candidate.
            sizes = [Counter(sample.session for sample in history.samples).values() for history in found]
            if spare := max(sum(own) - (max(own) if len(own) > 1 else 1) for own in sizes):
                words = ["gaudi-perf", "audit", "--candidates", "1", "--baselines", str(min(spare, RUNS_FOR_BASELINES))]
                words += [] if results_dir == Path("results") else ["--results-dir", str(results_dir)]
                common.echo(f"or replay smaller comparisons: {shlex.join(words)}")
    if many_alarms or not replayed:
        raise click.exceptions.Exit(1)


def _show(answer: AuditAnswer, many_alarms: bool) -> None:
    over = f"over {percent_set(slowdowns(answer.tolerance)[-1])}"
    hosts: dict[str, list[ReplayedCase]] = {}
    for one in answer.cases:
        hosts.setdefault(f"{one.device}, {one.stack}, {one.host}", []).append(one)
    for host, own in hosts.items():
        common.echo(host)
        common.echo_table(
            ("case", *_NUMBERS),
            [
                (
                    one.case,
                    f"{one.runs}/{one.sessions}",
                    f"{one.candidates}+{one.candidates} pairs"
                    if one.side_by_side
                    else f"{one.candidates} of {one.baselines}",
                    f"{percent(one.false_alarms)} (< {percent(one.false_alarms_high)})",
                    over if one.detects is None else percent_set(one.detects),
                    percent(one.wrongly_unchanged),
                    percent(one.inconclusive),
                )
                for one in own
            ],
            right=_NUMBERS,
        )
    common.echo(
        f"false alarms: REGRESSED though nothing changed, of {answer.repeats} comparisons (upper end of the 95 % "
        f"interval); {percent_set(answer.permitted_false_alarms)} is permitted"
    )
    common.echo("detects: the smallest slowdown that was replayed and called REGRESSED in nine of ten comparisons")
    twice = percent_set(2 * answer.tolerance)
    common.echo(f"wrongly UNCHANGED: at a slowdown of {twice}; INCONCLUSIVE: though nothing changed")
    estimated = any(one.noise_estimated == 1 for one in answer.cases)
    assumed = dict.fromkeys(one.case for one in answer.cases if one.noise_estimated < 1 and not one.side_by_side)
    if estimated:
        common.echo("noise: estimated from the sessions that a comparison does not draw, as the suite does")
    if assumed:
        whose = f" for {', '.join(assumed)}" if estimated else ""
        common.echo(f"noise: assumed (fewer than 10 other sessions){whose}")
    if many_alarms:
        common.echo(
            "so many false alarms mean that something changed between the sessions which the stack does not name: look "
            "at gaudi-perf history, and name a results directory without it"
        )
    few = dict.fromkeys(one.case for one in answer.cases if one.runs < _FEW * (one.candidates + one.baselines))
    if few:
        common.echo(f"few runs for {', '.join(few)}: the same ones are drawn again and again")
