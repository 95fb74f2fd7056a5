"""A session as Markdown, for a CI job's summary or a comment on a pull request: short, with the rest collapsed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from gaudi_perf.reports import wording
from gaudi_perf.reports.figures import figures
from gaudi_perf.reports.terminal import heading, severity
from gaudi_perf.reports.text import Cell, Words, escaped, harmless, markdown
from gaudi_perf.reports.warnings import warnings_of
from gaudi_perf.vocabulary.formats import change, counted, interval, seconds, throughput
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Session, Verdict, VerdictKind

LONGEST = 60_000
"""Characters: a comment on GitHub holds 65,536."""
_SHORT = 12
_SYMBOLS = {
    VerdictKind.INVALID: "⊘",
    VerdictKind.REGRESSED: "▲",
    VerdictKind.INCONCLUSIVE: "?",
    VerdictKind.NO_BASELINE: "○",
    VerdictKind.IMPROVED: "▼",
    VerdictKind.UNCHANGED: "=",
}
_LOOK = (VerdictKind.INVALID, VerdictKind.REGRESSED, VerdictKind.IMPROVED)
_COLUMNS = ("case", "verdict", "change", "interval", "baseline", "latency", "tok/s")


def session_markdown(session: Session, runs: Mapping[str, Sequence[Run]], commands: Sequence[str] = ()) -> str:
    """The session in short: a headline, the cases that need a look, and everything else in a part that opens.

    Nothing of it can be taken for markup, a link or a mention, whatever the documents say. ``runs`` are by case id.
    """
    measured = sorted((report for report in session.cases if report.verdicts), key=severity)
    lines = [f"### gaudi-perf: {headline(session)}", ""]
    if measured:
        lines += [escaped(heading([runs[report.case.id][0] for report in measured])), ""]
    look = [report for report in measured if report.verdicts[0].kind in _LOOK or report.waived]
    if look:
        lines += [_table(look[:_SHORT], runs), ""]
        if len(look) > _SHORT:
            lines += [f"… and {len(look) - _SHORT} more below.", ""]
    warnings = warnings_of({report.case.id: runs[report.case.id] for report in measured})
    others = [
        *(wording.failed_case(report, runs.get(report.case.id, ())) for report in session.cases if report.failed),
        *wording.skipped(session),
        *(f"waived: {report.case.id}: {report.waived}" for report in session.cases if report.waived),
        *(f"waiver: {sentence}" for sentence in session.waivers),
        *wording.session_facts(session, runs),
        *(f"warning: {line}" for line in warnings[:_SHORT]),
        *wording.other_regressions(session),
        wording.error_rate(session),
    ]
    lines += [f"{escaped(line)}\n" for line in others if line]
    return _with_details("\n".join(lines), measured, runs, commands, session.refreshed)


def headline(session: Session) -> str:
    """What a session comes to, in one line."""
    waived = sum(1 for report in session.cases if report.waived)
    failed = sum(1 for report in session.cases if report.failed)
    parts = [
        wording.verdict_counts(session),
        f"{waived} waived" * (waived > 0),
        f"{failed} not measured" * (failed > 0),
    ]
    return ", ".join(part for part in parts if part) or "nothing was measured"


def _with_details(
    text: str,
    measured: Sequence[CaseReport],
    runs: Mapping[str, Sequence[Run]],
    commands: Sequence[str],
    refreshed: bool,
) -> str:
    """Add the part that opens, as far as it fits."""
    shown = [harmless(command).replace("`", "'") for command in commands]
    tail = "\n".join(["", "```", *shown, "```", ""]) if shown else ""
    opening = f"<details><summary>{counted(len(measured), 'measured case')}, and why</summary>\n\n"
    closing = "\n\n</details>\n"
    head = _table([], runs)
    room = LONGEST - len(text) - len(tail) - len(opening) - len(closing) - len(head) - 100
    if not measured or room < 0:
        return text[: LONGEST - len(tail)].rpartition("\n")[0] + "\n" + tail
    rows = _fitting([_table([report], runs)[len(head) + 1 :] for report in measured], room * 2 // 3)
    details = "\n".join([head, *rows])
    if len(rows) < len(measured):
        details += f"\n\n… and {len(measured) - len(rows)} more: the HTML report has all."
    reasons = _fitting(_reasons(measured, runs, refreshed), room - sum(len(row) + 1 for row in rows))
    return text + "\n" + opening + "\n".join([details, "", *reasons]) + closing + tail


def _fitting(blocks: Sequence[str], room: int) -> list[str]:
    """As many of the first blocks as fit into so many characters, their line ends included."""
    ends = itertools.accumulate(len(block) + 1 for block in blocks)
    return [block for block, end in zip(blocks, ends, strict=True) if end <= room]


def _table(reports: Sequence[CaseReport], runs: Mapping[str, Sequence[Run]]) -> str:
    rows = [_row(report, verdict, runs[report.case.id]) for report in reports for verdict in report.verdicts]
    return markdown(Words("", _COLUMNS, rows, right=("change", "latency", "tok/s")))


def _row(report: CaseReport, verdict: Verdict, runs: Sequence[Run]) -> Sequence[Cell]:
    facts = figures(runs)
    waived = ", waived" if report.waived and verdict is report.verdicts[0] else ""
    return (
        report.case.id,
        f"{wording.of_metric(verdict)}{_SYMBOLS[verdict.kind]} {verdict.kind.value}{waived}",
        change(verdict.ratio) if verdict.ratio is not None else "-",
        interval(verdict.low, verdict.high) if verdict.ratio and verdict.low and verdict.high else "-",
        verdict.baseline or "-",
        seconds(facts.latency_s),
        throughput(facts.tokens_per_s),
    )


def _reasons(measured: Sequence[CaseReport], runs: Mapping[str, Sequence[Run]], refreshed: bool) -> list[str]:
    """Why, for every verdict that asks for more than its row, and what changed in the stack."""
    found = []
    for report in measured:
        for verdict in report.verdicts:
            if verdict.kind in (VerdictKind.UNCHANGED, VerdictKind.NO_BASELINE):
                continue
            text = wording.full_text(verdict, refreshed=refreshed, waived=bool(report.waived))
            if verdict.baseline_stack is not None:
                changed = wording.stack_differences(verdict.baseline_stack, runs[report.case.id][0].stack)
                text += f" Changed: {', '.join(changed)}." if changed else ""
            found.append(f"- {escaped(f'{report.case.id}: {verdict.kind.value}: {text}')}")
    return found
