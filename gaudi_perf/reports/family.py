"""What a session says of all its cases together: the two stacks, metrics beside the latency, the false-alarm rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gaudi_perf.reports.text import harmless, interval, slower_or_faster
from gaudi_perf.vocabulary.metrics import LATENCY, TITLES
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.stack import Stack, component_changes
from gaudi_perf.vocabulary.verdict import Session, Verdict, VerdictKind


def stacks_side_by_side(session: Session, runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """Both stacks and what differs between them; empty for a session of one stack."""
    pairs: dict[tuple[str, str, tuple[str, ...]], None] = {}
    for report in session.cases:
        for verdict in report.verdicts:
            if verdict.role == "side by side" and verdict.baseline_stack is not None:
                ours, theirs = runs[report.case.id][0].stack, verdict.baseline_stack
                pairs[ours.name, theirs.name, tuple(stack_differences(theirs, ours))] = None
    lines = []
    for ours_name, theirs_name, differing in pairs:
        candidate, baseline = f"{session.candidate_stack} ({ours_name})", f"{session.baseline_stack} ({theirs_name})"
        lines.append(harmless(f"side by side: {candidate} against {baseline}"))
        lines.append(f"what differs: {'; '.join(differing) or 'no version and no setting that is known'}")
    return lines


def stack_differences(old: Stack, new: Stack) -> list[str]:
    """Versions, components and settings that differ, as ``pytorch 2.9.0 -> 2.10.0``."""
    return [harmless(change) for change in component_changes(old, new)]


def other_regressions(session: Session) -> list[str]:
    """A line for every metric that regressed and does not gate."""
    lines = []
    for report in session.cases:
        for verdict in report.others:
            if verdict.kind == VerdictKind.REGRESSED and verdict.ratio and verdict.low and verdict.high:
                change = f"{slower_or_more(verdict.metric, verdict.ratio)} {interval(verdict.low, verdict.high)}"
                what = f"{report.case.id}: {TITLES[verdict.metric]} REGRESSED against {verdict.baseline}"
                lines.append(f"{harmless(what)}: {change}; it does not gate (--gate {verdict.metric} makes it)")
    return lines


def of_metric(verdict: Verdict) -> str:
    """What a verdict is about, with a space behind it; empty for the latency."""
    return "" if verdict.metric == LATENCY else f"{TITLES[verdict.metric]} "


def slower_or_more(metric: str, ratio: float) -> str:
    """A ratio in words that fit the metric: ``9.6 % slower``, ``9.6 % more``."""
    words = slower_or_faster(ratio)
    return words.replace("slower", "more").replace("faster", "less") if metric == "memory" else words


def usual_noise(session: Session) -> str:
    """From what the usual noise of the session's comparisons is known; empty where none needed it."""
    stored = [
        verdict
        for report in session.cases
        for verdict in report.verdicts
        if verdict.ratio is not None and verdict.metric == LATENCY and verdict.role != "side by side"
    ]
    learned = [verdict.learned_noise for verdict in stored if verdict.learned_noise is not None]
    if not learned:
        return ""
    nights = sorted(noise.nights for noise in learned)
    apart = sorted(noise.night for noise in learned)
    text = f"usual noise learned from {_range([str(count) for count in nights])} nights here: they lie "
    text += f"{_range([f'{share * 100:.1f}' for share in apart])} % apart"
    others = len(stored) - len(learned)
    return f"{text}; assumed for {others} of {len(stored)} comparisons" if others else text


def _range(words: Sequence[str]) -> str:
    return words[0] if words[0] == words[-1] else f"{words[0]} to {words[-1]}"


def notes(session: Session) -> list[str]:
    """What else is to be known of cases, each sentence once."""
    cases: dict[str, int] = {}
    for report in session.cases:
        for note in report.notes:
            cases[note] = cases.get(note, 0) + 1
    return [f"in {count} {'case' if count == 1 else 'cases'}: {harmless(note)}" for note, count in cases.items()]
