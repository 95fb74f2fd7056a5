"""Notices of regressions: an issue, a chat message, an e-mail, and a document for programs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Literal
from xml.sax.saxutils import escape

from msgspec import UNSET

from gaudi_perf.judging.regressions import Notice, NoticeKind
from gaudi_perf.reports.text import escaped, harmless
from gaudi_perf.reports.wording import against_baseline, full_text
from gaudi_perf.vocabulary.documents import Document
from gaudi_perf.vocabulary.metrics import TITLES
from gaudi_perf.vocabulary.regression import OpenRegression
from gaudi_perf.vocabulary.stack import stack_changes
from gaudi_perf.vocabulary.verdict import Verdict

_EVENTS: dict[NoticeKind, str] = {
    "opened": "REGRESSED",
    "open": "still REGRESSED",
    "undecided": "no clear verdict tonight",
    "recovered": "recovered",
    "accepted": "accepted",
}


class NoticeDocument(Document, frozen=True, kw_only=True):
    """What one notice is to a program.

    Attributes:
        verdict: the comparison that decided; ratios are candidate to baseline, 1.10 is 10 % slower.
        stack_changes: what differs between the stacks, as ``driver 1.23.0 -> 1.24.0``.
        reason: why it was accepted; else empty.
        reproduce: a command that measures it again.
        text: the notice as a sentence, for people.
    """

    event: NoticeKind
    regression: OpenRegression
    verdict: Verdict
    session_id: str
    stack_changes: list[str]
    reason: str
    reproduce: str
    text: str


class NotifyAnswer(Document, frozen=True, kw_only=True):
    """What ``gaudi-perf notify`` posts to a webhook that takes JSON, and prints with ``--json``."""

    schema: Literal["gaudi-perf/notify/1"] = "gaudi-perf/notify/1"
    notices: list[NoticeDocument]
    open: int
    links: dict[str, str] = {}


def title(regression: OpenRegression) -> str:
    """What the issue and the e-mail of a regression are called."""
    what = "" if regression.metric == "latency" else f"{TITLES[regression.metric]} of "
    return harmless(f"{what}{regression.case} is slower on {regression.stack} ({regression.device})")


def sentence(notice: Notice) -> str:
    """A notice on a line."""
    known, verdict = notice.regression, notice.verdict
    where = f"{known.case} on {known.device}, {known.stack}"
    number = f": {against_baseline(verdict)}" if verdict.ratio is not None else ""
    since = f"; since {known.since[:10]}" if not notice.over else ""
    reason = f" ({notice.reason})" if notice.reason else ""
    return harmless(f"{_EVENTS[notice.kind]}: {where}{number}{since}{reason}")


def reproduction(notice: Notice) -> str:
    """The command that measures it again: both stacks side by side, or where it is drift the one."""
    run, verdict = notice.finding.run, notice.verdict
    case = run.case
    words = ["pytest", "perf_tests", "-k", case.configuration.id, "--runs", "5"]
    words += ["--accelerator", run.device.name if run.device.emulated else case.accelerator]
    words += ["--devices", str(case.configuration.devices)]
    if case.architecture is not UNSET:  # not one of the matrix's own models
        words += ["--model", case.configuration.model]
    words += ["--workload", case.workload.option] if case.workload.option else []
    words += ["--weights", "hub"] if case.weights == "hub" else []
    words += ["--gaudi-options", case.options] if case.options else []
    if verdict.baseline_stack is not None and verdict.baseline_stack.name != run.stack.name:
        words += ["--candidate-stack", run.stack.name, "--baseline-stack", verdict.baseline_stack.name]
    return shlex.join(words)


def document(found: Sequence[Notice], still_open: int, links: Mapping[str, str]) -> NotifyAnswer:
    """The notices for programs."""
    return NotifyAnswer(
        notices=[
            NoticeDocument(
                event=notice.kind,
                regression=notice.regression,
                verdict=notice.verdict,
                session_id=notice.finding.run.session_id,
                stack_changes=_stack_changes(notice),
                reason=notice.reason,
                reproduce=reproduction(notice),
                text=sentence(notice),
            )
            for notice in found
        ],
        open=still_open,
        links=dict(links),
    )


def issue(notice: Notice, links: Mapping[str, str]) -> str:
    """The text of an issue, in Markdown; nothing in it can be taken for markup."""
    known, run = notice.regression, notice.finding.run
    rows = {
        "slower than": known.baseline,
        "slower since": f"{known.since} (session {known.session_id})",
        "measured last": f"{run.started_at} (session {run.session_id})",
        "device, stack": f"{known.device}, {known.stack}",
        "changed in the stack": "; ".join(_stack_changes(notice)) or "nothing that is recorded",
    }
    lines = [
        f"**{escaped(known.case)}**: {escaped(full_text(notice.verdict))}",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {escaped(text)} |" for name, text in rows.items()),
        *(f"| {escaped(name)} | <{address}> |" for name, address in links.items()),
        "",
        "Measure it again:",
        "",
        "```",
        harmless(reproduction(notice)).replace("`", "'"),
        "```",
        "",
        "Each night updates this text. The issue is closed when the case recovers, or when its level is accepted "
        "(`gaudi-perf baselines refresh --accept-regression`) or waived (`gaudi-perf baselines waive`).",
        "",
    ]
    return "\n".join(lines)


def plain(found: Sequence[Notice], links: Mapping[str, str]) -> str:
    """Notices as plain text, for an e-mail."""
    blocks = []
    for notice in found:
        lines = [sentence(notice)]
        if not notice.over:
            changes = "; ".join(_stack_changes(notice)) or "nothing that is recorded"
            lines += [f"  changed in the stack: {changes}", f"  measure it again: {reproduction(notice)}"]
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, *(f"{name}: {address}" for name, address in links.items())]) + "\n"


def slack(found: Sequence[Notice], links: Mapping[str, str]) -> dict[str, str]:
    """Notices as a message of an incoming webhook of Slack; ``&``, ``<`` and ``>`` are all that its text gives a
    meaning that could call somebody (api.slack.com/reference/surfaces/formatting).
    """
    lines = [escape(sentence(notice)) for notice in found]
    lines += [f"{escape(name)}: {address}" for name, address in links.items()]
    return {"text": "\n".join(lines)}


def _stack_changes(notice: Notice) -> list[str]:
    before = notice.verdict.baseline_stack
    return [] if before is None else [harmless(one) for one in stack_changes(before, notice.finding.run.stack)]
