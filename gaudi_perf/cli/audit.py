"""``gaudi-perf audit``: how often this installation's verdicts are wrong, and what they can see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gaudi_perf.cli.common import (
    Command,
    chosen_runs,
    echo_table,
    filter_options,
    results_option,
    share,
    shown,
    tolerance_option,
)
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted, percent, percent_set

if TYPE_CHECKING:
    from gaudi_perf.judging.auditing import Audited, History
    from gaudi_perf.statistics.audit import Audit, Design

_FEW = 3
_MANY_ALARMS = 0.05
_NUMBERS = ("runs/sessions", "replayed", "false alarms", "detects", "wrongly UNCHANGED", "INCONCLUSIVE")


@click.command(cls=Command)
@filter_options
@click.option(
    "--candidates",
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs of the candidate in a replayed comparison (pairs, side by side); default: what a session usually has.",
)
@click.option(
    "--baselines",
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs of the baseline; default: 5, what a refresh stores.",
)
@click.option("--side-by-side", is_flag=True, help="Replay comparisons of neighbouring runs in pairs.")
@tolerance_option
@click.option(
    "--repeats", type=click.IntRange(min=1), default=400, show_default=True, help="Comparisons per slowdown and case."
)
@results_option
def audit(
    case: str,
    device: str | None,
    stack: str | None,
    candidates: int | None,
    baselines: int | None,
    side_by_side: bool,
    tolerance: str,
    repeats: int,
    results_dir: Path,
) -> None:
    """Report how often the verdicts of this installation are wrong, and the smallest slowdown that they find.

    The runs under the results directory are replayed. Of runs of the same case on the same stack and host, some are
    drawn as candidate and others as baseline, again and again: nothing changed between them, so every REGRESSED is a
    false alarm. Then the same candidates are made slower by 2 to 50 %, to see which slowdowns are found in nine of ten
    comparisons, and how often twice the tolerance is called UNCHANGED, which is wrong. Nothing is measured or written.

    As in the suite, the noise is estimated where at least ten other sessions are left to estimate it from; side by side
    needs none.

    A candidate is drawn from one session and its baseline from others, as in life; a history of one session is cut into
    stretches. It takes more runs than a comparison has, better ten times as many: a short history is few runs, drawn
    again and again. To grow one, measure the same stack in many sessions, say with --runs 5.

    Examples:
      gaudi-perf audit
      gaudi-perf audit --case bloomz7b-8x --candidates 5 --baselines 5
      gaudi-perf audit --side-by-side --candidates 10 --stack 1.24.0
    """
    from gaudi_perf.judging.auditing import audit_history, histories, usual_design

    minded = share(tolerance, "--tolerance")
    found, unusable = histories(chosen_runs(results_dir, case, device, stack, "audit"))
    if unusable:
        click.echo(f"left out, INVALID or never steady: {counted(unusable, 'run')}", err=True)
    if not found:
        raise UserError(f"{results_dir}: no run is left: nothing to audit")
    replayed: list[tuple[History, Design, Audited]] = []
    too_short: list[str] = []
    for history in found:
        design = usual_design(history.samples, candidates, baselines, side_by_side)
        outcome = audit_history(history, design, minded, repeats)
        if isinstance(outcome, str):
            size = f"{counted(len(history.samples), 'run')} of {counted(history.sessions, 'session')}"
            too_short.append(f"{history.device} {history.stack} {history.case_id}: {size}: {outcome}")
        else:
            replayed.append((history, design, outcome))
    if not replayed:
        raise UserError(
            f"{results_dir}: the history is too short to audit: {too_short[0]}; measure the same stack in more "
            "sessions, or replay smaller comparisons with --candidates and --baselines"
        )
    _show(replayed, minded, repeats)
    for sentence in too_short:
        click.echo(shown(f"too short: {sentence}"))


def _show(replayed: list[tuple[History, Design, Audited]], tolerance: float, repeats: int) -> None:
    from gaudi_perf.statistics.verdict import ComparisonSettings
    from gaudi_perf.vocabulary.verdict import VerdictKind

    hosts: dict[tuple[str, str, str], list[tuple[History, Design, Audited]]] = {}
    for one in replayed:
        hosts.setdefault((one[0].device, one[0].stack, one[0].host), []).append(one)
    for host, own in hosts.items():
        click.echo(shown(", ".join(host)))
        echo_table(
            [("case", "left"), *((title, "right") for title in _NUMBERS)],
            [
                (
                    history.case_id,
                    f"{len(history.samples)}/{history.sessions}",
                    f"{design.candidates}+{design.candidates} pairs"
                    if design.side_by_side
                    else f"{design.candidates} of {design.baselines}",
                    f"{percent(audited.audit.false_alarms)} (< {percent(audited.audit.false_alarms_high)})",
                    _detects(audited.audit),
                    percent(audited.audit.wrong_unchanged),
                    percent(audited.audit.shares[0.0][VerdictKind.INCONCLUSIVE]),
                )
                for history, design, audited in own
            ],
        )
    click.echo(
        f"false alarms: REGRESSED though nothing changed, of {repeats} comparisons (upper end of the 95 % interval); "
        f"{percent_set(ComparisonSettings.false_alarms)} is permitted"
    )
    click.echo("detects: the smallest slowdown that was replayed and called REGRESSED in nine of ten comparisons")
    click.echo(
        f"wrongly UNCHANGED: at a slowdown of {percent_set(2 * tolerance)}; INCONCLUSIVE: though nothing changed"
    )
    estimated = any(audited.learned == 1 for _, _, audited in replayed)
    assumed = dict.fromkeys(
        history.case_id for history, design, audited in replayed if audited.learned < 1 and not design.side_by_side
    )
    if estimated:
        click.echo("noise: estimated from the sessions that a comparison does not draw, as the suite does")
    if assumed:
        whose = f" for {', '.join(assumed)}" if estimated else ""
        click.echo(shown(f"noise: assumed (fewer than 10 other sessions){whose}"))
    if any(one.audit.false_alarms > _MANY_ALARMS for _, _, one in replayed):
        click.echo(
            "so many false alarms mean that something changed between the sessions which the stack does not name: look "
            "at gaudi-perf history, and name a results directory without it"
        )
    few = dict.fromkeys(
        history.case_id
        for history, design, _ in replayed
        if len(history.samples)
        < _FEW * (design.candidates + (design.candidates if design.side_by_side else design.baselines))
    )
    if few:
        click.echo(shown(f"few runs for {', '.join(few)}: the same ones are drawn again and again"))


def _detects(audit: Audit) -> str:
    smallest = audit.smallest_detectable_slowdown
    return f"over {percent_set(max(audit.shares))}" if smallest is None else percent_set(smallest)
