"""The verdicts of one case, from one comparison at the end or from looks after every run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from gaudi_perf.judging.evidence import CaseEvidence, Reference, Samples, samples_of
from gaudi_perf.judging.rules import Rules
from gaudi_perf.statistics.sequential import Layout, Look, Plan, Stop, look
from gaudi_perf.statistics.verdict import (
    Comparison,
    ComparisonSettings,
    UsualNoise,
    as_published,
    compare,
    compare_side_by_side,
    compare_with_published,
)
from gaudi_perf.vocabulary.metrics import LATENCY, TITLES, Metric
from gaudi_perf.vocabulary.verdict import WORST_FIRST, LearnedNoise, Verdict, VerdictKind

_CERTAIN = (VerdictKind.REGRESSED, VerdictKind.IMPROVED)

_Key = tuple[Metric, str, str]


@dataclass(frozen=True)
class Judgement:
    """What the runs of a case came to.

    Attributes:
        verdicts: those that gate, the worst first; at least one.
        others: those that do not gate, the worst first.
        comparison: the strongest evidence of a slowdown among the comparisons that gate, its ``p_slower`` that of all
            of them as one probability; None if nothing was compared.
        alone: the REGRESSED that was certain by itself and not at the case's level, if that is what it came to.
        settled: whether no more runs are needed.
        notes: what else is to be known, in sentences.
    """

    verdicts: tuple[Verdict, ...]
    others: tuple[Verdict, ...] = ()
    comparison: Comparison | None = None
    alone: Verdict | None = None
    settled: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Looked:
    """A comparison, and what it would be if its case were the only one of the session."""

    look: Look
    by_itself: Comparison


class CaseJudge:
    """Judges one case. With a plan it may be asked after every run, and remembers what was settled by then."""

    def __init__(self, rules: Rules, plan: Plan | None = None) -> None:
        """Nothing is judged yet.

        Args:
            rules: tolerances, gates and levels.
            plan: when looks may be taken; None for one comparison, when all runs are there.
        """
        self._rules = rules
        self._plan = plan
        self._clear: dict[_Key, _Looked] = {}

    def judge(
        self, evidence: CaseEvidence, *, budget_spent: bool = False, seconds_per_run: float | None = None
    ) -> Judgement:
        """Judge what is there so far.

        Args:
            evidence: all runs so far.
            budget_spent: whether time has run out; then no more runs are needed.
            seconds_per_run: what another run costs, or None where unknown.
        """
        if evidence.invalid:
            advice = "Mend the cause and measure again; an invalid measurement is never judged or stored as a baseline."
            return self._alone(VerdictKind.INVALID, "; ".join(evidence.invalid), advice)
        if not evidence.references:
            nothing = self._alone(VerdictKind.NO_BASELINE, evidence.no_reference, evidence.advice)
            return replace(nothing, notes=evidence.notes)
        chosen: dict[_Key, tuple[Reference, Samples]] = {}
        notes: dict[str, None] = dict.fromkeys(evidence.notes)
        for metric in TITLES:
            for reference in evidence.references:
                samples = samples_of(metric, evidence.runs, reference)
                if samples.why_not:
                    notes[samples.why_not] = None
                if samples.candidate and (samples.baseline or (reference.published and metric == LATENCY)):
                    chosen[metric, reference.role, reference.label] = reference, samples
        gating = sum(key[0] in self._rules.gates for key in chosen)
        stuck = bool(evidence.never_steady)
        last = budget_spent or stuck  # more runs do not make steady what is not
        if gating and self._plan is not None and len(evidence.runs) < self._plan.first and not last:
            return replace(self._alone(VerdictKind.INCONCLUSIVE, "the first look is yet to come", ""), settled=False)
        looked = {
            key: self._look(key, reference, samples, gating, last, seconds_per_run)
            for key, (reference, samples) in chosen.items()
        }
        looks = {key: one.look for key, one in looked.items()}
        settled = last or all(one.stop != Stop.NOT_YET for key, one in looks.items() if key[0] in self._rules.gates)
        verdicts = [
            self._verdict(key, chosen[key][0], one, gating, evidence.never_steady, seconds_per_run)
            for key, one in looks.items()
        ]
        verdicts.sort(key=lambda verdict: WORST_FIRST.index(verdict.kind))
        deciding = tuple(verdict for verdict in verdicts if verdict.metric in self._rules.gates)
        others = tuple(verdict for verdict in verdicts if verdict.metric not in self._rules.gates)
        if not gating:
            gates = ", ".join(TITLES[metric] for metric in TITLES if metric in self._rules.gates)
            nothing = self._alone(VerdictKind.NO_BASELINE, f"no {gates} on both sides.", "")
            return replace(nothing, others=others, notes=tuple(notes))
        compared = {key: one.by_itself for key, one in looked.items() if key[0] in self._rules.gates}
        strongest = min(compared, key=lambda key: (not _regressed(compared[key]), compared[key].p_slower))
        one = compared[strongest]
        alone = None
        if _regressed(one) and deciding[0].kind == VerdictKind.INCONCLUSIVE and not stuck:
            alone = self._document(strongest, chosen[strongest][0], one, seconds_per_run)
        # Bonferroni's bound for the least of several probabilities, however they depend on each other.
        together = replace(one, p_slower=min(1.0, gating * one.p_slower))
        return Judgement(deciding, others, together, alone, settled, tuple(notes))

    def _alone(self, kind: VerdictKind, reason: str, advice: str) -> Judgement:
        return Judgement((Verdict(kind=kind, reason=reason, tolerance=self._rules.tolerances[LATENCY], advice=advice),))

    def _look(
        self,
        key: _Key,
        reference: Reference,
        samples: Samples,
        gating: int,
        budget_spent: bool,
        seconds_per_run: float | None,
    ) -> _Looked:
        if key in self._clear:
            return self._clear[key]
        tolerance = self._rules.tolerances[key[0]]
        own = ComparisonSettings(false_alarms=self._rules.false_alarms, seconds_per_run=seconds_per_run)
        if self._plan is None:
            one = _compare(key[0], reference, samples, tolerance, own)
            return _Looked(Look(one, Stop.CLEAR), one)
        plan, count = self._plan, len(samples.candidate)
        if not plan.first <= count <= plan.most:
            plan = replace(plan, first=min(plan.first, count), most=max(plan.most, count))
        strict = replace(own, false_alarms=min(own.false_alarms, *self._levels(key[0], gating)))
        layout = Layout.STORED
        if reference.side_by_side:
            layout = Layout.INTERLEAVED if _in_turns(key[0], reference) else Layout.SIDE_BY_SIDE
        found = _look(key[0], layout, reference, samples, plan, tolerance, strict, budget_spent)
        looked = _Looked(found, found.comparison)
        if found.comparison.kind == VerdictKind.INCONCLUSIVE and strict != own:
            # The family asks more of REGRESSED and IMPROVED; UNCHANGED has a permitted error of its own.
            alone = _look(key[0], layout, reference, samples, plan, tolerance, own, budget_spent)
            unchanged = alone.comparison.kind == VerdictKind.UNCHANGED
            # The stricter look's evidence holds at every level that the family may come to, the other's does not.
            slower, faster = found.comparison.p_slower, found.comparison.p_faster
            by_itself = replace(alone.comparison, p_slower=slower, p_faster=faster)
            looked = _Looked(alone if unchanged else found, by_itself)
        if looked.look.stop == Stop.CLEAR:
            self._clear[key] = looked
        return looked

    def _levels(self, metric: Metric, gating: int) -> tuple[float, float]:
        """What a REGRESSED and an IMPROVED of a comparison take: the case's levels, shared by all that gate."""
        if metric not in self._rules.gates:
            return 1.0, 1.0
        return self._rules.slower_level / gating, self._rules.faster_level / gating

    def _verdict(
        self,
        key: _Key,
        reference: Reference,
        found: Look,
        gating: int,
        never_steady: tuple[str, ...],
        seconds_per_run: float | None,
    ) -> Verdict:
        metric = key[0]
        slower, faster = self._levels(metric, gating)
        comparison = _upheld(found.comparison, slower, faster, self._rules.cases * gating)
        kind, reason, advice = comparison.kind, comparison.reason, comparison.advice
        stop = found.stop.value if self._plan is not None else ""
        if never_steady and metric == LATENCY:
            kind = VerdictKind.INCONCLUSIVE
            reason = f"a run never became steady ({never_steady[0]}), so its rounds still drift"
            advice = "Raise --warm-up-limit or --time-budget, or find what keeps the machine busy."
            stop = Stop.HOPELESS.value if stop else ""
        if stop:
            reason = f"{reason}; no more runs: {stop}"
        comparison = replace(comparison, kind=kind, reason=reason, advice=advice)
        if never_steady:
            comparison = replace(comparison, more_runs=None)
        verdict = self._document(key, reference, comparison, seconds_per_run)
        return msgspec.structs.replace(verdict, stop=stop, false_alarms=min(self._rules.false_alarms, slower))

    def _document(
        self, key: _Key, reference: Reference, comparison: Comparison, seconds_per_run: float | None
    ) -> Verdict:
        more = comparison.more_runs if comparison.kind == VerdictKind.INCONCLUSIVE else None
        stacks = 2 if reference.side_by_side else 1
        learned = reference.usual if key[0] == LATENCY else None
        return Verdict(
            kind=comparison.kind,
            reason=comparison.reason if learned is None else f"{comparison.reason}; {learned}",
            metric=key[0],
            role=reference.role,
            baseline=reference.label,
            baseline_stack=reference.stack,
            ratio=comparison.ratio,
            low=comparison.low,
            high=comparison.high,
            confidence=comparison.confidence,
            tolerance=comparison.tolerance,
            smallest_visible_slowdown=comparison.smallest_visible_slowdown,
            baseline_median_s=reference.level_s if key[0] == LATENCY else None,
            false_alarms=self._rules.false_alarms,
            p_slower=comparison.p_slower,
            advice=comparison.advice,
            more_runs=more,
            more_seconds=None if more is None or seconds_per_run is None else more * seconds_per_run * stacks,
            learned_noise=None
            if learned is None
            else LearnedNoise(
                runs=learned.runs, nights=learned.sessions, run=learned.noise.run, night=learned.noise.night
            ),
        )


def _usual(metric: Metric, reference: Reference) -> UsualNoise:
    if metric != LATENCY:  # a slow night shows in the latency, and memory does not become more by it
        return UsualNoise(slow_nights=0.0)
    return UsualNoise() if reference.usual is None else reference.usual.noise


def _regressed(one: Comparison) -> bool:
    return one.kind == VerdictKind.REGRESSED


def _in_turns(metric: Metric, reference: Reference) -> bool:
    return reference.rounds_in_turns and metric == LATENCY  # the other metrics have rounds of their own


def _compare(
    metric: Metric, reference: Reference, samples: Samples, tolerance: float, settings: ComparisonSettings
) -> Comparison:
    ours, theirs = samples.candidate, samples.baseline
    usual = _usual(metric, reference)
    if reference.published:
        return compare_with_published(
            ours, reference.level_s, tolerance=tolerance, usual_noise=usual, settings=settings
        )
    if reference.side_by_side:
        turns = _in_turns(metric, reference)
        return compare_side_by_side(ours, theirs, tolerance=tolerance, settings=settings, interleaved=turns)
    return compare(ours, theirs, tolerance=tolerance, usual_noise=usual, settings=settings)


def _look(
    metric: Metric,
    layout: Layout,
    reference: Reference,
    samples: Samples,
    plan: Plan,
    tolerance: float,
    settings: ComparisonSettings,
    budget_spent: bool,
) -> Look:
    ours, theirs, usual = samples.candidate, samples.baseline, _usual(metric, reference)
    if reference.published:
        ours, theirs, usual = as_published(ours, reference.level_s, usual)
    return look(
        ours,
        theirs,
        plan,
        layout=layout,
        tolerance=tolerance,
        usual_noise=usual,
        settings=settings,
        budget_spent=budget_spent,
    )


def _upheld(one: Comparison, slower: float, faster: float, family: int) -> Comparison:
    """The comparison as one of a family: what is certain by itself may not be among so many."""
    if one.kind not in _CERTAIN:
        return one
    evidence, level = (one.p_slower, slower) if one.kind == VerdictKind.REGRESSED else (one.p_faster, faster)
    if evidence <= level:
        return one
    return replace(
        one,
        kind=VerdictKind.INCONCLUSIVE,
        reason=f"{one.ratio - 1:+.1%}: certain by itself, and not as one of {family} comparisons ({one.reason})",
        advice="Measure this case again, by itself.",
        more_runs=None,
    )
