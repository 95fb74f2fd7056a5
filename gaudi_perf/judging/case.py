"""The verdicts of one case, from one comparison at the end or from interim analyses after every run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from gaudi_perf.judging.evidence import CaseEvidence, Reference, samples_of
from gaudi_perf.judging.noise import NoiseEstimate
from gaudi_perf.statistics.evidence import Layout, gather
from gaudi_perf.statistics.noise import NoisePrior
from gaudi_perf.statistics.sample import Sides
from gaudi_perf.statistics.sequential import InterimAnalysis, StoppingPlan, analyze
from gaudi_perf.statistics.verdict import Comparison, ComparisonSettings, as_published, decide
from gaudi_perf.vocabulary.metrics import LATENCY, TITLES, TOLERANCES, Metric
from gaudi_perf.vocabulary.verdict import (
    WORST_FIRST,
    Advice,
    Reason,
    StopReason,
    Verdict,
    VerdictKind,
)

_PROBES_MATTER = 0.1

_Key = tuple[Metric, str, str]


@dataclass(frozen=True)
class Rules:
    """By which rules cases are judged.

    Attributes:
        tolerances: the largest slowdown that is accepted, for each metric; 0.05 is 5 %.
        gates: the metrics whose verdicts decide a test. The others are judged for information.
        false_alarms: permitted rate of each kind of mistake in each comparison by itself.
        slower_level: permitted rate of a false REGRESSED of this case among all ``cases`` of the session; its
            comparisons share it. ``faster_level`` is the same of IMPROVED.
        unusual: baselines against which the reference probes of most cases of the session show another machine.
    """

    tolerances: Mapping[Metric, float] = field(default_factory=lambda: dict(TOLERANCES))
    gates: frozenset[Metric] = frozenset({LATENCY})
    false_alarms: float = ComparisonSettings.false_alarms
    slower_level: float = 1.0
    faster_level: float = 1.0
    cases: int = 1
    unusual: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Judgement:
    """What the runs of a case came to.

    Attributes:
        verdicts: those that gate, the worst first; at least one.
        others: those that do not gate, the worst first.
        comparison: the strongest evidence of a slowdown among the comparisons that gate, its ``p_slower`` that of all
            of them as one probability; None if nothing was compared.
        strongest: its verdict, if the case were the only one of the session; None if runs never became steady.
        gating: how many comparisons gate.
        settled: whether no more runs are needed.
        notes: what else is to be known, in sentences.
    """

    verdicts: tuple[Verdict, ...]
    others: tuple[Verdict, ...] = ()
    comparison: Comparison | None = None
    strongest: Verdict | None = None
    gating: int = 1
    settled: bool = True
    notes: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether all cases of the session together may still call it REGRESSED."""
        return self.strongest is not None and self.verdicts[0].kind == VerdictKind.INCONCLUSIVE

    @property
    def alone(self) -> Verdict | None:
        """The REGRESSED that was significant by itself and not at the case's level, if that is what it came to."""
        alone = self.open and self.strongest is not None and self.strongest.kind == VerdictKind.REGRESSED
        return self.strongest if alone else None


@dataclass(frozen=True)
class _Analyzed:
    """An analysis, and what its comparison would be if the case were the only one of the session."""

    analysis: InterimAnalysis
    by_itself: Comparison


class CaseJudge:
    """Judges one case. With a plan it may be asked after every run, and remembers what was settled by then.

    Without one, all runs are compared once.
    """

    def __init__(self, rules: Rules, plan: StoppingPlan | None = None) -> None:
        self._rules = rules
        self._plan = plan
        self._clear: dict[_Key, _Analyzed] = {}

    def judge(
        self, evidence: CaseEvidence, *, budget_spent: bool = False, seconds_per_run: float | None = None
    ) -> Judgement:
        """Judge all runs so far; when the budget is spent, no more are needed."""
        if evidence.invalid:
            return self._alone(VerdictKind.INVALID, Reason.INVALID, "; ".join(evidence.invalid), Advice.FIX_AND_REPEAT)
        if not evidence.references:
            nothing = self._alone(VerdictKind.NO_BASELINE, Reason.NO_BASELINE, evidence.no_reference, evidence.advice)
            return replace(nothing, notes=evidence.notes)
        chosen: dict[_Key, tuple[Reference, Sides]] = {}
        notes: dict[str, None] = dict.fromkeys(evidence.notes)
        for metric in TITLES:
            for reference in evidence.references:
                sides, why_not = samples_of(metric, evidence.runs, reference)
                if why_not:
                    notes[why_not] = None
                if sides.candidate and (sides.baseline or (reference.published and metric == LATENCY)):
                    chosen[metric, reference.role, reference.label] = reference, sides
        gating = sum(key[0] in self._rules.gates for key in chosen)
        stuck = bool(evidence.never_steady)
        last = budget_spent or stuck  # more runs do not make steady what is not
        if gating and self._plan is not None and len(evidence.runs) < self._plan.first and not last:
            return replace(self._alone(VerdictKind.INCONCLUSIVE, Reason.TOO_FEW_RUNS), settled=False)
        analyzed = {
            key: self._analyze(key, reference, sides, gating, last) for key, (reference, sides) in chosen.items()
        }
        verdicts = [
            self._verdict(key, chosen[key][0], one.analysis, gating, evidence.never_steady, seconds_per_run)
            for key, one in analyzed.items()
        ]
        verdicts.sort(key=lambda verdict: WORST_FIRST.index(verdict.kind))
        deciding = tuple(verdict for verdict in verdicts if verdict.metric in self._rules.gates)
        others = tuple(verdict for verdict in verdicts if verdict.metric not in self._rules.gates)
        if not gating:
            gates = ", ".join(TITLES[metric] for metric in TITLES if metric in self._rules.gates)
            nothing = self._alone(VerdictKind.NO_BASELINE, Reason.NO_VALUES, gates)
            return replace(nothing, others=others, notes=tuple(notes))
        compared = {key: one for key, one in analyzed.items() if key[0] in self._rules.gates}
        settled = last or all(one.analysis.stop != StopReason.NOT_YET for one in compared.values())
        alike = {key: one.by_itself for key, one in compared.items()}
        strongest = min(alike, key=lambda key: (alike[key].kind != VerdictKind.REGRESSED, alike[key].p_slower))
        one = alike[strongest]
        by_itself = None if stuck else self._document(strongest[0], chosen[strongest][0], one, seconds_per_run)
        # Bonferroni's bound for the least of several probabilities, however they depend on each other.
        together = replace(one, p_slower=min(1.0, gating * one.p_slower))
        return Judgement(deciding, others, together, by_itself, gating, settled, tuple(notes))

    def _alone(self, kind: VerdictKind, reason: Reason, text: str = "", advice: Advice = Advice.NONE) -> Judgement:
        tolerance = self._rules.tolerances[LATENCY]
        return Judgement((Verdict(kind=kind, reason=reason, text=text, tolerance=tolerance, advice=advice),))

    def _analyze(self, key: _Key, reference: Reference, sides: Sides, gating: int, last: bool) -> _Analyzed:
        if key in self._clear:
            return self._clear[key]
        metric = key[0]
        tolerance = self._rules.tolerances[metric]
        own = ComparisonSettings(false_alarms=self._rules.false_alarms)
        prior = NoisePrior() if reference.noise is None else reference.noise.prior
        prior = replace(prior, unusual=reference.label in self._rules.unusual)
        if metric != LATENCY:  # a slow session shows in the latency, and memory does not become more by it
            prior = NoisePrior(slow_sessions=0.0)
        layout, ours, theirs = Layout.STORED, sides.candidate, sides.baseline
        if reference.published:
            ours, theirs, prior = as_published(ours, reference.level_s, prior)
        elif reference.side_by_side:  # the other metrics have rounds of their own
            layout = Layout.INTERLEAVED if reference.rounds_in_turns and metric == LATENCY else Layout.SIDE_BY_SIDE
        evidence = gather(ours, theirs, layout, prior)
        if self._plan is None:
            one = decide(evidence, tolerance, own)
            return _Analyzed(InterimAnalysis(one, StopReason.CLEAR), one)
        plan, count = self._plan, len(sides.candidate)
        if not plan.first <= count <= plan.most:
            plan = replace(plan, first=min(plan.first, count), most=max(plan.most, count))
        strict = replace(own, false_alarms=min(own.false_alarms, *self._levels(metric, gating)))
        found = analyze(evidence, plan, tolerance, strict, budget_spent=last)
        analyzed = _Analyzed(found, found.comparison)
        if found.comparison.kind == VerdictKind.INCONCLUSIVE and strict != own:
            # All cases together ask more of REGRESSED and IMPROVED; UNCHANGED has a permitted error of its own.
            alone = analyze(evidence, plan, tolerance, own, budget_spent=last)
            unchanged = alone.comparison.kind == VerdictKind.UNCHANGED
            # The stricter analysis' evidence holds at every level that all cases may come to, the other's does not.
            slower, faster = found.comparison.p_slower, found.comparison.p_faster
            by_itself = replace(alone.comparison, p_slower=slower, p_faster=faster)
            analyzed = _Analyzed(alone if unchanged else found, by_itself)
        if analyzed.analysis.stop == StopReason.CLEAR:
            self._clear[key] = analyzed
        return analyzed

    def _levels(self, metric: Metric, gating: int) -> tuple[float, float]:
        """What a REGRESSED and an IMPROVED of a comparison take: the case's levels, shared by all that gate."""
        if metric not in self._rules.gates:
            return 1.0, 1.0
        return self._rules.slower_level / gating, self._rules.faster_level / gating

    def _verdict(
        self,
        key: _Key,
        reference: Reference,
        found: InterimAnalysis,
        gating: int,
        never_steady: tuple[str, ...],
        seconds_per_run: float | None,
    ) -> Verdict:
        metric, comparison = key[0], found.comparison
        slower, faster = self._levels(metric, gating)
        evidence, level = {
            VerdictKind.REGRESSED: (comparison.p_slower, slower),
            VerdictKind.IMPROVED: (comparison.p_faster, faster),
        }.get(comparison.kind, (0.0, 0.0))
        verdict = msgspec.structs.replace(
            self._document(metric, reference, comparison, seconds_per_run),
            stop=found.stop if self._plan is not None else StopReason.NOT_YET,
            false_alarms=min(self._rules.false_alarms, slower),
        )
        if evidence > level:  # significant by itself may not be significant among so many
            verdict = msgspec.structs.replace(
                verdict,
                kind=VerdictKind.INCONCLUSIVE,
                reason=Reason.NOT_SIGNIFICANT_AMONG_ALL,
                comparisons=self._rules.cases * gating,
                advice=Advice.MEASURE_ALONE,
            )
        if never_steady:
            verdict = msgspec.structs.replace(verdict, more_runs=None, more_seconds=None)
        if never_steady and metric == LATENCY:
            verdict = msgspec.structs.replace(
                verdict,
                kind=VerdictKind.INCONCLUSIVE,
                reason=Reason.NEVER_STEADY,
                text=never_steady[0],
                advice=Advice.MORE_WARM_UP,
                stop=StopReason.FUTILE if verdict.stop else StopReason.NOT_YET,
            )
        return verdict

    def _document(
        self, metric: Metric, reference: Reference, comparison: Comparison, seconds_per_run: float | None
    ) -> Verdict:
        verdict = verdict_of(comparison, reference.noise if metric == LATENCY else None)
        more, stacks = verdict.more_runs, 2 if reference.side_by_side else 1
        return msgspec.structs.replace(
            verdict,
            metric=metric,
            role=reference.role,
            baseline=reference.label,
            baseline_stack=reference.stack,
            baseline_median_s=reference.level_s if metric == LATENCY else None,
            published=reference.published,
            false_alarms=self._rules.false_alarms,
            more_seconds=None if more is None or seconds_per_run is None else more * seconds_per_run * stacks,
        )


def verdict_of(comparison: Comparison, learned: NoiseEstimate | None = None) -> Verdict:
    """A comparison as a document; ``learned`` is what the history taught of the noise."""
    evidence = comparison.evidence
    probe_change = math.expm1(evidence.probe_shift or 0.0)
    return msgspec.structs.replace(
        msgspec.convert(comparison, Verdict, from_attributes=True),
        candidate_runs=evidence.candidate_runs,
        baseline_runs=evidence.baseline_runs,
        run_spread=evidence.run_spread,
        uncorrected_run_spread=evidence.uncorrected_run_spread if evidence.probe_gain >= _PROBES_MATTER else None,
        session_spread=None if evidence.side_by_side else evidence.session_spread,
        learned_noise=None if learned is None else learned.document,
        few_rounds=evidence.few_rounds,
        probe_change=probe_change if comparison.advice == Advice.CHECK_MACHINE else None,
        tail_spread_change=math.expm1(evidence.tail_spread_shift) if comparison.advice == Advice.CHECK_ROUNDS else None,
    )
