"""What the page says in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_perf.reports.family import of_metric, slower_or_more
from gaudi_perf.reports.figures import Figures
from gaudi_perf.reports.text import change, harmless, interval, seconds, share_of
from gaudi_perf.vocabulary.metrics import LATENCY, TITLES
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import CaseReport, Session, Verdict, VerdictKind

_ROLES = {
    "drift": "the same version of the stack, stored earlier: a difference is drift",
    "release": "the newest earlier version that is stored: a difference is what the release changed",
    "named": "the baseline that was asked for",
    "side by side": "the other stack of the session, measured in turns with it",
}


def title(session: Session) -> str:
    """What the session comes to, in one sentence: slower cases first, for that is the question."""
    worst = [report.verdicts[0].kind for report in session.cases if report.verdicts and not report.waived]
    slower, broken = worst.count(VerdictKind.REGRESSED), worst.count(VerdictKind.INVALID)
    broken += sum(1 for report in session.cases if report.failed)
    open_questions = worst.count(VerdictKind.INCONCLUSIVE) + worst.count(VerdictKind.NO_BASELINE)
    parts = []
    if slower:
        parts.append(f"{slower} {_cases(slower)} got slower")
    if broken:
        parts.append(f"{broken} could not be judged" if slower else f"{broken} {_cases(broken)} could not be judged")
    if not slower and not broken:
        if not worst and not session.cases:
            return "Nothing was measured"
        parts.append("No case got slower" if worst and open_questions < len(worst) else "Nothing could be compared")
    if open_questions and not (len(parts) == 1 and parts[0] == "Nothing could be compared"):
        parts.append(f"{open_questions} of {len(worst)} {'is' if open_questions == 1 else 'are'} open")
    return "; ".join(parts)


def case_headline(report: CaseReport) -> str:
    """A case in a sentence."""
    if report.failed:
        return f"Not measured: {harmless(report.failed)}"
    if report.skipped:
        return f"Skipped: {harmless(report.skipped)}"
    verdict = report.verdicts[0]
    if verdict.ratio is None or verdict.low is None or verdict.high is None:
        return harmless(verdict.reason)
    than = f"{of_metric(verdict)}{slower_or_more(verdict.metric, verdict.ratio)} than {harmless(verdict.baseline)}"
    than += f", {interval(verdict.low, verdict.high)}"
    if verdict.confidence:
        than += f" with {verdict.confidence * 100:.4g} % confidence"
    return than[0].upper() + than[1:] + "."


def reasoning(verdict: Verdict, facts: Figures) -> list[str]:
    """How the verdict came about, sentence by sentence."""
    said = [_sentence(harmless(verdict.reason))]
    if verdict.role in _ROLES:
        said.append(f"It was held against {_ROLES[verdict.role]}.")
    if verdict.ratio is not None and verdict.low is not None and verdict.high is not None:
        runs = "one run" if facts.runs == 1 else f"{facts.runs} runs"
        basis = f"{runs} with {facts.rounds} rounds in all"
        level = "" if verdict.baseline_median_s is None else f" against {seconds(verdict.baseline_median_s)}"
        if verdict.metric == LATENCY:
            said.append(f"The median is {seconds(facts.latency_s)}{level}: {change(verdict.ratio)}, from {basis}.")
        else:
            said.append(f"The {TITLES[verdict.metric]} changed by {change(verdict.ratio)}, from {basis}.")
        at = f"{verdict.confidence * 100:.4g} % " if verdict.confidence else ""
        said.append(f"The {at}interval of the change is {interval(verdict.low, verdict.high)}.")
        if verdict.tolerance is not None:
            said.append(_against_tolerance(verdict.low, verdict.high, verdict.tolerance))
    if verdict.smallest_visible_slowdown is not None:
        said.append(
            f"A slowdown of {share_of(verdict.smallest_visible_slowdown)} would have been called REGRESSED in nine "
            "of ten such comparisons."
        )
    if verdict.stop:
        said.append(_sentence(harmless(verdict.stop)))
    if verdict.advice:
        said.append(_sentence(harmless(verdict.advice)))
    return list(dict.fromkeys(said))


def problems_of(runs: Sequence[Run]) -> str:
    """Why a measurement must not be judged, or that it never became steady; empty if all is well."""
    problems = dict.fromkeys(problem for run in runs for problem in run.measurement.problems)
    problems.update(
        dict.fromkeys(
            f"a run never became steady: {run.measurement.warm_up.reason}"
            for run in runs
            if not run.measurement.warm_up.steady
        )
    )
    return harmless("; ".join(problems))


def _against_tolerance(low: float, high: float, tolerance: float) -> str:
    share = f"{tolerance * 100:.3g} %"
    if low > 1 + tolerance:
        return f"All of it lies beyond the tolerance of {share}."
    if high < 1 + tolerance:
        return f"All of it lies below the tolerance of {share}."
    return f"It contains the tolerance of {share}: the slowdown may be smaller or larger than that."


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text[-1] in ".!?…" else f"{text}."


def _cases(count: int) -> str:
    return "case" if count == 1 else "cases"
