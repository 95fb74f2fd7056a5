"""The sentences of all reports, made from documents: verdicts, cases, and what a session says of all cases together."""

from __future__ import annotations

import shlex
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from gaudi_perf.judging.trends import Change
from gaudi_perf.reports.figures import Figures
from gaudi_perf.reports.text import harmless
from gaudi_perf.statistics.multiple_testing import CommonSlowdown
from gaudi_perf.statistics.roofline import roofline_of
from gaudi_perf.stores.refresh import CaseChange, regressions
from gaudi_perf.vocabulary.formats import (
    change,
    counted,
    interval,
    long_time,
    p_value,
    percent,
    percent_set,
    rate,
    seconds,
    slower_or_faster,
    span,
)
from gaudi_perf.vocabulary.metrics import LATENCY, RUNS_FOR_BASELINES, TITLES
from gaudi_perf.vocabulary.run import Run, level_of
from gaudi_perf.vocabulary.stack import Stack, component_changes
from gaudi_perf.vocabulary.verdict import (
    WORST_FIRST,
    Advice,
    CaseReport,
    Reason,
    Session,
    StopReason,
    Verdict,
    VerdictKind,
)
from gaudi_perf.vocabulary.waiver import Waiver

NOT_THE_MEDIANS = (
    "it averages over runs, and corrects for what the reference probes and uneven rounds show of the machine"
)
"""Why the estimate differs from the ratio of the medians."""
NEVER_STEADY = "never steady: its rounds still drifted when warm-up ended"

# ---- a verdict

_SIGNIFICANT = (Reason.SLOWER, Reason.FASTER, Reason.SIGNIFICANT_AMONG_ALL, Reason.SLOWER_THAN_OTHERS, Reason.TEXT)
_AS_STORED = (Reason.TEXT, Reason.INVALID, Reason.NO_BASELINE)
_STOPS = {
    StopReason.CLEAR: "the verdict is clear",
    StopReason.BUDGET: "the budget is spent",
    StopReason.FUTILE: "the remaining budget cannot settle it",
}
_ADVICE = {
    Advice.ACCEPT_OR_WAIVE: "Find what changed in the stack; accept the new level with a reason, or waive it.",
    Advice.REFRESH: "Refresh the baseline, or slowdowns back to the old level pass unseen.",
    Advice.ANOTHER_SESSION: "One slow session would explain it, and nothing measured here would show that: repeat it "
    "in another session, with reference probes, or with both stacks side by side.",
    Advice.QUIETER_MACHINE: "200 more pairs of runs would not settle it: use a quieter machine.",
    Advice.SIDE_BY_SIDE: "More runs in this session cannot settle it, since sessions differ and few are known: measure "
    "both stacks side by side, or store baselines of several sessions.",
    Advice.MEASURE_ALONE: "Measure this case again, by itself.",
    Advice.MORE_WARM_UP: "Raise --warm-up-limit or --time-budget, or find what keeps the machine busy.",
    Advice.FIX_AND_REPEAT: "Fix the cause and measure again: an INVALID measurement is neither judged nor stored as a "
    "baseline.",
    Advice.STORE: "Store this level with --refresh-baselines.",
    Advice.SAME_DEVICE: "Compare two stacks on the same device.",
}


def estimate(verdict: Verdict) -> str:
    """The change with its interval, ``8.0 % slower [+6.1 %, +9.9 %]``; empty if nothing was compared."""
    if verdict.ratio is None or verdict.low is None or verdict.high is None:
        return ""
    return f"{difference(verdict.ratio, verdict)} {interval(verdict.low, verdict.high)}"


def difference(ratio: float, verdict: Verdict) -> str:
    """A ratio, ``8.0 % slower`` where the verdict on it is significant, else ``+0.0 %``."""
    return slower_or_faster(ratio, verdict.metric) if verdict.reason in _SIGNIFICANT else change(ratio)


def against_baseline(verdict: Verdict) -> str:
    """The estimate, of what, and against what: ``peak memory 8.0 % more [+6.1 %, +9.9 %] than synapse-1.24.0``."""
    preposition = "than" if verdict.reason in _SIGNIFICANT else "against"
    return f"{of_metric(verdict)}{estimate(verdict)} {preposition} {harmless(verdict.baseline)}"


def reason(verdict: Verdict) -> str:
    """Why it is this verdict, in a sentence without its full stop."""
    known, why = estimate(verdict), grounds(verdict)
    if verdict.reason in _AS_STORED or verdict.reason is Reason.NEVER_STEADY or not known:
        return why
    return f"{known}{', ' if why.startswith('p ') else ': '}{why}"


def grounds(verdict: Verdict) -> str:
    """The same without the estimate."""
    if verdict.reason in _AS_STORED:
        return harmless(verdict.text)
    slower = (verdict.ratio or 1.0) >= 1
    p = p_value((verdict.p_slower if slower else verdict.p_faster) or 0.0)
    limit = f"a slowdown of {percent_set(2 * (verdict.tolerance or 0.0))}"
    detectable = f"smallest detectable slowdown: {percent(verdict.smallest_visible_slowdown or 0.0)}"
    comparisons = counted(verdict.comparisons or 0, "comparison")
    direction, were = "slowdown" if slower else "speed-up", "were" if ", " in verdict.text else "was"
    words = {
        Reason.SLOWER: p_value(verdict.p_slower or 0.0),
        Reason.FASTER: p_value(verdict.p_faster or 0.0),
        Reason.WITHIN_TOLERANCE: f"{limit} is ruled out; {detectable}",
        Reason.TOO_IMPRECISE: f"{limit} can be neither detected nor ruled out; {detectable}",
        Reason.NOT_SIGNIFICANT: f"{p}: too large for UNCHANGED, not significant as a {direction}",
        Reason.NOT_SIGNIFICANT_AMONG_ALL: f"{p}: significant alone, not after correction for {comparisons}",
        Reason.SIGNIFICANT_AMONG_ALL: f"{p}, significant among all cases of the session",
        Reason.SLOWER_THAN_OTHERS: f"{p}, less what the other cases of the session share",
        Reason.TOO_FEW_RUNS: "the first interim analysis is yet to come",
        Reason.NEVER_STEADY: f"a run never became steady ({harmless(verdict.text)}), so its rounds still drift",
        Reason.NO_VALUES: f"{harmless(verdict.text)} {were} not measured on both sides",
    }[verdict.reason]
    if basis := _basis(verdict):
        words += f" ({basis})"
    return f"{words}; stopped: {_STOPS[verdict.stop]}" if verdict.stop else words


def advice(verdict: Verdict, *, refreshed: bool = False, waived: bool = False) -> str:
    """What to do next, in sentences, or empty; what the session did or a waiver permits already is not advised."""
    if verdict.advice is Advice.CHECK_MACHINE and verdict.probe_change is not None:
        return (
            f"By its reference probes the machine is {slower_or_faster(1 + verdict.probe_change)} than it was for the "
            "baseline: find out why, repeat the measurement, or measure both stacks side by side."
        )
    if verdict.advice is Advice.CHECK_ROUNDS and verdict.tail_spread_change is not None:
        more = "more" if verdict.tail_spread_change > 0 else "less"
        return (
            f"The rounds are {more} uneven than the baseline's, by {percent(abs(verdict.tail_spread_change))}: a "
            "disturbed machine does that, and so does software that stalls now and then. More runs do not "
            "distinguish the two: look at the rounds (gaudi-perf report --html)."
        )
    if verdict.advice is Advice.MORE_RUNS:
        return "" if verdict.more_runs is None else _more_runs(verdict, verdict.more_runs)
    if verdict.advice is Advice.ANOTHER_SESSION and verdict.more_sessions is not None:
        known = f"With {counted(verdict.more_sessions, 'more session')} in the history, none of them slow"
        found = f"a slowdown of {percent_set(2 * (verdict.tolerance or 0.0))} is detectable"
        return f"{_ADVICE[verdict.advice]} {known}, {found}."
    if verdict.advice is Advice.TEXT:
        return harmless(verdict.advice_text)
    if verdict.advice is Advice.ACCEPT_OR_WAIVE and waived:
        return "Find what changed in the stack, or accept the new level with a reason."
    stored = verdict.advice is Advice.STORE and refreshed
    return "" if stored else _ADVICE.get(verdict.advice, "")


def full_text(verdict: Verdict, *, refreshed: bool = False, waived: bool = False) -> str:
    """Why it is this verdict, and what to do next, in sentences; the options are those of ``advice``."""
    why = _sentence(f"{of_metric(verdict)}{reason(verdict)}")
    return f"{why} {advice(verdict, refreshed=refreshed, waived=waived)}".strip()


def of_metric(verdict: Verdict) -> str:
    """What a verdict is about, with a space behind it; empty for the latency."""
    return "" if verdict.metric == LATENCY else f"{TITLES[verdict.metric]} "


def _basis(verdict: Verdict) -> str:
    """How many runs were compared, and how noisy they are."""
    ours, theirs, spread = verdict.candidate_runs, verdict.baseline_runs, verdict.run_spread
    if ours is None or theirs is None or spread is None:
        return ""
    runs = f"{counted(ours, 'run')} against {counted(theirs, 'run')}"
    if verdict.role == "side by side":
        runs = f"{counted(ours, 'run')} of each stack side by side"
    elif verdict.published:  # either side may be the published number
        runs = f"{counted(max(ours, theirs), 'run')} and a published number of unknown spread"
    variation, before = f"run-to-run variation: {percent(spread)}", verdict.uncorrected_run_spread
    if before is not None and before > 1.1 * spread:
        variation += f", {percent(before)} before correction by the reference probes"
    parts = [runs, variation]
    if verdict.session_spread is not None:
        between, learned = f"night-to-night variation: {percent(verdict.session_spread)}", verdict.learned_noise
        if learned is None:
            parts.append(f"assumed {between}")
        else:
            of = f"{counted(learned.runs, 'run')} of {counted(learned.sessions, 'session')}"
            parts.append(f"{between}, estimated from {of}")
    return "; ".join(parts)


def _more_runs(verdict: Verdict, runs: int) -> str:
    each = " of each stack" if verdict.role == "side by side" else ""
    cost = "" if verdict.more_seconds is None else f" ({long_time(verdict.more_seconds)})"
    text = f"About {counted(runs, 'more run')}{each}{cost} would settle it."
    if verdict.few_rounds:
        text += " Most of the variation comes from few rounds per run: more rounds are cheaper than more runs."
    return text


# ---- a case

_ROLES = {
    "drift": "the same version of the stack, stored earlier: a difference is drift",
    "release": "the newest earlier version that is stored: a difference is what the release changed",
    "named": "the baseline that was asked for",
    "side by side": "the other stack of the session, measured in turns with it",
}


def case_headline(report: CaseReport) -> str:
    """A case in a sentence."""
    if report.failed:
        return _sentence(f"Not {'judged' if report.run_ids else 'measured'}: {harmless(report.failed)}")
    if report.skipped:
        return _sentence(f"Skipped: {harmless(report.skipped)}")
    if not report.verdicts:
        return "Not judged: the session's document has no verdict of this case."
    verdict = report.verdicts[0]
    text = reason(verdict)
    if estimate(verdict):
        confidence = f" ({percent_set(verdict.confidence)} interval)" if verdict.confidence else ""
        text = f"{against_baseline(verdict)}{confidence}"
    return _sentence(f"{text[:1].upper()}{text[1:]}")


def explanation(verdict: Verdict, facts: Figures, *, waived: bool = False) -> list[str]:
    """How the verdict came about, sentence by sentence."""
    said = [_sentence(reason(verdict))]
    if verdict.role in _ROLES:
        said.append(f"Compared with {_ROLES[verdict.role]}.")
    if verdict.low is not None and verdict.high is not None and verdict.tolerance is not None:
        said.append(_against_tolerance(verdict.low, verdict.high, verdict.tolerance, verdict.confidence))
    if verdict.metric == LATENCY and verdict.ratio is not None and verdict.baseline_median_s is not None:
        said.append(_medians(facts, verdict.baseline_median_s, verdict.ratio))
    detectable = verdict.smallest_visible_slowdown
    if detectable is not None and verdict.reason not in (Reason.WITHIN_TOLERANCE, Reason.TOO_IMPRECISE):
        said.append(_sentence(f"Smallest detectable slowdown: {percent(detectable)}"))
    said.append(_sentence(advice(verdict, waived=waived)))
    return [text for text in dict.fromkeys(said) if text]


def problems_of(runs: Sequence[Run]) -> str:
    """Why a measurement must not be judged, or that it never became steady; empty if all is well."""
    problems = dict.fromkeys(problem for run in runs for problem in run.measurement.problems)
    warm_ups = [run.measurement.warm_up for run in runs]
    problems |= dict.fromkeys(f"a run never became steady: {one.reason}" for one in warm_ups if not one.steady)
    return harmless("; ".join(problems))


def _medians(facts: Figures, baseline_s: float, ratio: float) -> str:
    """The raw medians, and why their ratio is not the estimate."""
    apart = change(facts.latency_s / baseline_s)
    basis = f"{counted(facts.runs, 'run')} with {counted(facts.rounds, 'round')} in all"
    text = f"Median: {seconds(facts.latency_s)} from {basis}, baseline {seconds(baseline_s)} ({apart})."
    if apart == change(ratio):
        return text
    return f"{text} The estimate of {change(ratio)} differs: {NOT_THE_MEDIANS}."


def _against_tolerance(low: float, high: float, tolerance: float, confidence: float | None) -> str:
    which = f"{percent_set(confidence)} interval" if confidence else "interval"
    if low > 1 + tolerance or high < 1 + tolerance:
        side = "beyond" if low > 1 + tolerance else "below"
        return f"All of the {which} lies {side} the tolerance of {percent_set(tolerance)}."
    return f"The {which} contains the tolerance of {percent_set(tolerance)}."


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text[-1] in ".!?…" else f"{text}."


def changed_since(change: Change) -> str:
    """A change of level: ``since 2026-01-31 (synapse-1.24.0): 8.0 % slower [+6.1 %, +9.9 %]``."""
    point, since = change.point, change.since
    ratio = f"{slower_or_faster(point.ratio)} {interval(point.low, point.high)}"
    return f"since {since.started_at[:10]} ({since.stack.name}): {ratio}"


# ---- a refresh


def level_change(change: CaseChange) -> str:
    """What a refresh does to a case, or why it does not, on a line."""
    level = [_level(change)] if change.level_s is not None else []
    return f"{change.label} {change.case_id}: {'; '.join([*level, *_outcome(change), *change.notes])}"


def level_reason(change: CaseChange) -> str:
    """What a refresh makes of a case's level and why, beside the numbers of the levels."""
    interval = estimate(change.judged.latency) if change.judged is not None and change.judged.ratio else ""
    parts = [change.kind if change.written else "", interval, *_outcome(change), *change.notes]
    return "; ".join(part for part in parts if part)


def _outcome(change: CaseChange) -> list[str]:
    parts = []
    if change.refused:
        parts.append(f"refused: {change.refused}")
    elif not change.written:
        slower = "" if change.accepted_ratio is None else slower_or_faster(change.accepted_ratio)
        above = "" if slower in _level(change) else f"{slower} than the best or the last accepted level"
        what = ("refused", above, change.worse, 'give the reason with --accept-regression "..."')
        parts.append(": ".join(part for part in what if part))
    elif change.needs_reason:
        parts.append(f"accepted: {change.stored_reason}")
    if change.judged is not None and change.judged.noted:
        parts.append(f"{regressions(change.judged.noted)} (it does not gate)")
    if change.runs:
        apart = "" if change.apart is None else f", {percent(change.apart)} apart"
        parts.append(f"{counted(change.runs, 'run')} of {counted(change.sessions, 'session')}{apart}")
        if change.written and not change.stored_sessions:
            parts.append("the entry stays as it is")
        elif change.stored_sessions > change.sessions:
            parts.append(f"the entry then has {counted(change.stored_sessions, 'session')}")
    return parts


def _level(found: CaseChange) -> str:
    current, level = found.current, found.level_s or 0.0
    if current is None or found.ratio is None:
        return f"new at {seconds(level)}"
    medians = f"{seconds(current.case.level_s)} to {seconds(level)}"
    anchor, best = current.anchor, ""
    than = "than the current level" if current.own else f"than {current.stack_name}"
    if level > anchor.latency_s:
        of = f", {anchor.stack}" if anchor.stack else ""
        if anchor.latency_s == current.case.level_s:
            than += ", the best"
        else:
            best = f", {slower_or_faster(level / anchor.latency_s)} than the best"
            best += f" ({seconds(anchor.latency_s)} of {anchor.accepted_on}{of})"
    if found.kind == "unchanged":
        return f"unchanged: {change(found.ratio)} {than.replace('than', 'against', 1)} (medians {medians}){best}"
    kind = "slower, step by step: " if found.kind == "slower" and found.ratio != found.accepted_ratio else ""
    return f"{kind}{slower_or_faster(found.ratio)} {than} (medians {medians}){best}"


# ---- a session


def title(session: Session) -> str:
    """What the session comes to, in one sentence: slower cases first, for that is the question."""
    judged = [report for report in session.cases if report.verdicts]
    kinds = Counter(report.verdicts[0].kind for report in judged if not report.waived)
    waived = sum(1 for report in judged if report.waived)
    failed = sum(1 for report in session.cases if report.failed)
    if not judged and not failed:
        return "Nothing could be measured here" if session.cases else "Nothing was measured"
    clear = kinds[VerdictKind.UNCHANGED] + kinds[VerdictKind.IMPROVED]
    if kinds[VerdictKind.NO_BASELINE] == len(judged) and not failed:
        return "Nothing could be compared: no case has a baseline"
    total = len(judged)
    found = [
        (kinds[VerdictKind.REGRESSED], "", "slower"),
        (waived, "", "waived"),
        (kinds[VerdictKind.INVALID], "", "INVALID"),
        (failed, "", "not measured"),
        (kinds[VerdictKind.INCONCLUSIVE], f" of {total}", "undecided"),
        (kinds[VerdictKind.NO_BASELINE], f" of {total}", "without a baseline"),
    ]
    parts = [] if any(count for count, of, _ in found if not of) or not clear else ["No case is slower"]
    for count, of, what in found:
        if count:
            cases = "" if parts else " cases" if (total if of else count) > 1 else " case"
            parts.append(f"{count}{of}{cases} {'is' if count == 1 else 'are'} {what}")
    return "; ".join(parts)


def session_facts(session: Session, runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """What could have been detected, what noise was estimated, and what was measured side by side, a line each."""
    found = [smallest_visible(session), learned_noise(session), *stacks_side_by_side(session, runs)]
    return [line for line in found if line]


def verdict_counts(session: Session) -> str:
    """How many cases came to which verdict, worst first: ``1 REGRESSED, 3 UNCHANGED``."""
    counts = Counter(report.verdicts[0].kind for report in session.cases if report.verdicts)
    return ", ".join(f"{counts[kind]} {kind.value}" for kind in WORST_FIRST if counts[kind])


def failed_case(report: CaseReport, runs: Sequence[Run] = ()) -> str:
    """Why a case has no verdict, and what its runs measured before."""
    text = f"{'not judged' if report.run_ids else 'not measured'}: {report.case.id}: {report.failed}"
    return text + (f"; {counted(len(runs), 'run')} until then, {seconds(level_of(runs))}" if runs else "")


def ended_early(session: Session, *, finished: bool) -> str:
    """That a session did not come to its end, and how far it came; empty if it did."""
    total = len(session.cases) + session.left
    begun = f"{session.left} of {counted(total, 'case')} {'was' if session.left == 1 else 'were'} not begun"
    if not finished:
        return "this session was ended early, or goes on" + (f": {begun}" if session.left else "")
    return f"ended early: {begun}" if session.left else ""


def smallest_visible(session: Session) -> str:
    """The smallest slowdown that the session could have detected; empty if nothing was compared."""
    of_latency = [
        (verdict.smallest_visible_slowdown, report.case.id)
        for report in session.cases
        for verdict in [one for one in report.verdicts if one.metric == LATENCY][:1]
    ]
    seen = sorted((share, case) for share, case in of_latency if share is not None)
    if not seen:
        return ""
    (best, best_case), (worst, worst_case) = seen[0], seen[-1]
    text = f"smallest detectable slowdown: {percent(best)}"
    if len(seen) > 1:
        middle = statistics.median(share for share, _ in seen)
        text += f" ({best_case}), median {percent(middle)}, {percent(worst)} ({worst_case})"
    return harmless(text)


def learned_noise(session: Session) -> str:
    """What the history taught of the noise; empty where no comparison with stored runs learned anything."""
    stored = [
        verdict
        for report in session.cases
        for verdict in report.verdicts
        if verdict.ratio is not None and verdict.metric == LATENCY and verdict.role != "side by side"
    ]
    learned = [verdict.learned_noise for verdict in stored if verdict.learned_noise is not None]
    if not learned:
        return ""
    variation = span(percent(share) for share in sorted(noise.session for noise in learned))
    sessions = span(str(count) for count in sorted(noise.sessions for noise in learned))
    text = f"night-to-night variation: {variation}, estimated from {sessions} sessions"
    others = len(stored) - len(learned)
    return f"{text}; assumed for {others} of {counted(len(stored), 'comparison')}" if others else text


def error_rate(session: Session) -> str:
    """The false-alarm rate of all cases together; empty if nothing was compared."""
    shared = session.error_rate
    if shared is None:
        return ""
    chance = f"if nothing changed, the chance of any false REGRESSED is at most {percent_set(shared.rate)}"
    return chance if shared.cases == 1 else f"{shared.cases} cases: {chance}"


def common_slowdown(common: CommonSlowdown) -> str:
    """What nearly all cases have in common."""
    return (
        f"{common.regressed} of {counted(common.compared, 'case')} are slower, by {percent(common.least - 1)} to "
        f"{percent(common.most - 1)}: a slow machine whose reference probes do not show it looks the same; measure "
        "both stacks side by side to distinguish the two"
    )


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
    """Components and settings that differ, as ``pytorch 2.9.0 -> 2.10.0``."""
    return [harmless(change) for change in component_changes(old, new)]


def other_regressions(session: Session) -> list[str]:
    """A line for every metric that regressed and does not gate."""
    return [
        f"{harmless(f'{report.case.id}: {TITLES[verdict.metric]} REGRESSED against {verdict.baseline}')}: "
        f"{estimate(verdict)}; it does not gate (--gate {verdict.metric} makes it)"
        for report in session.cases
        for verdict in report.others
        if verdict.kind == VerdictKind.REGRESSED and estimate(verdict)
    ]


def notes(session: Session) -> list[str]:
    """What else is to be known of cases."""
    return [
        harmless(line) for line in of_cases((report.case.id, note) for report in session.cases for note in report.notes)
    ]


def of_cases(found: Iterable[tuple[str, str]], all_of: int = 0) -> list[str]:
    """Pairs of case and sentence on lines: each sentence once, with its cases; ``all`` for as many as there are."""
    cases: dict[str, dict[str, None]] = {}
    for case, sentence in found:
        cases.setdefault(sentence, {})[case] = None
    return [f"{'all' if len(ids) == all_of > 1 else ', '.join(ids)}: {sentence}" for sentence, ids in cases.items()]


def skipped(session: Session) -> list[str]:
    """How many cases cannot run here, and why: ``skipped: 2 cases need 16 devices, found 8``."""
    counts = Counter(report.skipped for report in session.cases if report.skipped)
    lines = []
    for why, count in counts.items():
        needs = why.removeprefix("needs ")
        text = f": {why}" if needs == why else f" {'needs' if count == 1 else 'need'} {needs}"
        lines.append(harmless(f"skipped: {counted(count, 'case')}{text}"))
    return lines


def waiver_line(waiver: Waiver, stack: Stack | None) -> str:
    """A waiver on a line, and what it means on a stack (None where none was measured)."""
    limit = "" if waiver.up_to_ratio is None else f" up to {percent_set(waiver.up_to_ratio - 1)} slower"
    over = stack is not None and stack.kind == waiver.kind and waiver.expired(stack)
    state = f"; EXPIRED on {stack.name}: it fails again" if stack is not None and over else ""
    return f"{waiver.case} on {waiver.device}{limit} until {waiver.until_stack}{state}: {waiver.reason}"


def next_commands(session: Session, results: str, baselines: str) -> list[str]:
    """The exact commands for what comes next, one a line; directories are named as the reader would write them."""
    kinds = {report.verdicts[0].kind for report in session.cases if report.verdicts}
    if not kinds:
        return []
    where = [] if results == "results" else ["--results-dir", results]
    lines = [
        f"look closer: {shlex.join(['gaudi-perf', 'report', session.session_id, *where, '--html', 'report.html'])}"
    ]
    refused = {VerdictKind.REGRESSED}  # a refresh stores everything else by itself
    if kinds & (refused if session.refreshed else {VerdictKind.NO_BASELINE, VerdictKind.IMPROVED, *refused}):
        words = ["gaudi-perf", "baselines", "refresh", f"{results.rstrip('/')}/{session.session_id}"]
        if baselines != "baselines":
            words += ["--baselines-dir", baselines]
        fewest = min((len(one.run_ids) for one in session.cases if one.run_ids), default=RUNS_FOR_BASELINES)
        if fewest < RUNS_FOR_BASELINES:  # a refresh asks for more, and these are what there is
            words += ["--minimum-runs", str(fewest)]
        if VerdictKind.REGRESSED in kinds:
            words += ["--accept-regression", "REASON"]
        lines.append(f"new level:   {shlex.join(words)}")
    return lines


def limit_note(run: Run) -> str:
    """What the column ``of limit`` says of runs like this one; empty where the bandwidth is not known."""
    limit = roofline_of(run)
    if limit is None:
        return ""
    measured = "a measured " if limit.bandwidth.source == "measured" else ""
    bandwidth = f"{measured}{rate(limit.bandwidth.per_s)}"
    read = f"time to read weights and cache once per token at {bandwidth}"
    if limit.computing_s and limit.arithmetic is not None:
        read += f", or to compute at {limit.arithmetic.per_s / 1e12:,.0f} TFLOPS where that takes longer"
    return f"of limit: {read}, as a share of the latency"
