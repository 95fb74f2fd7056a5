"""False alarms and detections of this suite's verdicts, and of the rules that people use, on the same data.

    python benchmarks/detection.py                        # a first impression, a few minutes
    python benchmarks/detection.py --repeats 2000         # the numbers in docs/detection.md
    python benchmarks/detection.py --only "shared" --no-others
    python benchmarks/detection.py --limits               # what the recordings allow any rule, seconds

Noise: a synthetic quiet server (spread between runs 0.5 %, rounds 1 %, sessions 1 %; 3 % of sessions 8 % slow), a
synthetic shared machine, and whatever ``benchmarks/record_noise.py`` recorded under ``benchmarks/noise``: constants
of the rule were fitted to the recordings called "fitted", and those called "held out" were made when they were fixed.
From one, stretches of neighbouring runs are drawn (pairs of neighbours, side by side), so that what lasts longer than
a run stays in. Slowdowns are put in by multiplying the candidate's rounds; the same draws serve all rules and
slowdowns.

Columns: false alarms without a slowdown; detections by slowdown; "missed" is UNCHANGED (others: no alarm) at twice the
tolerance; INCONCLUSIVE without a slowdown; generation time used, in device-seconds (others use the same runs). The
interval of the false alarms is Clopper and Pearson's, 95 %, for independent comparisons; those drawn from one recording
share its runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from detection_rules.limits import limits
from detection_rules.rules import RULES, students_t
from detection_rules.scenarios import Scenario, recorded, synthetic
from scipy.stats import binomtest

from gaudi_perf.statistics.evidence import Layout, gather, with_slowdown
from gaudi_perf.statistics.noise import NoisePrior
from gaudi_perf.statistics.sample import RunSample, Sides
from gaudi_perf.statistics.sequential import StoppingPlan, analyze
from gaudi_perf.statistics.verdict import ComparisonSettings, compare, decide, largest_unchanged, material
from gaudi_perf.vocabulary.verdict import StopReason, VerdictKind

SLOWDOWNS = (0.0, 0.02, 0.03, 0.05, 0.1, 0.2)
SETTINGS = ComparisonSettings()
STRICTER = ComparisonSettings(false_alarms=0.003)
"""What it would cost to permit fewer false alarms, on the same draws."""


@dataclass
class Tally:
    """Verdicts of a rule by slowdown."""

    kinds: dict[float, Counter[VerdictKind]] = field(default_factory=dict)
    seconds: dict[float, list[float]] = field(default_factory=dict)
    runs: dict[float, list[int]] = field(default_factory=dict)
    stops: Counter[StopReason] = field(default_factory=Counter)

    def add(self, slowdown: float, kind: VerdictKind, seconds: float, runs: int) -> None:
        """Count a verdict, and what it took."""
        self.kinds.setdefault(slowdown, Counter())[kind] += 1
        self.seconds.setdefault(slowdown, []).append(seconds)
        self.runs.setdefault(slowdown, []).append(runs)

    def share(self, slowdown: float, kind: VerdictKind) -> float:
        """The share of a verdict at a slowdown."""
        counted = self.kinds[slowdown]
        return counted[kind] / max(counted.total(), 1)


def device_seconds(sides: Sides, layout: Layout) -> float:
    measured = list(sides.candidate) + ([] if layout == Layout.STORED else list(sides.baseline))
    return float(sum(sample.rounds.sum() for sample in measured))


def slowdowns_of(scenario: Scenario) -> tuple[float, ...]:
    return tuple(sorted({*SLOWDOWNS, 2 * scenario.tolerance}))


def ours(scenario: Scenario, sides: Sides, prior: NoisePrior, tallies: dict[ComparisonSettings, Tally]) -> float:
    """Count the verdicts; returns the best estimate of the ratio's logarithm without a slowdown."""
    evidence = gather(sides.candidate, sides.baseline, scenario.layout, prior)
    seconds = device_seconds(sides, scenario.layout)
    for slowdown in slowdowns_of(scenario):
        slower = with_slowdown(evidence, slowdown)
        for settings, tally in tallies.items():
            verdict = decide(slower, scenario.tolerance, settings)
            tally.add(slowdown, verdict.kind, seconds, len(sides.candidate))
    return evidence.posterior.mean


def one_threshold(estimates: Sequence[float]) -> str:
    """What one threshold for these estimates finds at the permitted false alarms, their distribution being known."""
    values = np.asarray(estimates)
    threshold = np.quantile(np.concatenate([values, -values]), 1 - SETTINGS.false_alarms)
    found = [(slowdown, np.mean(values + np.log1p(slowdown) > threshold)) for slowdown in SLOWDOWNS if slowdown > 0]
    return ", ".join(f"{slowdown:.0%}: {share:.1%}" for slowdown, share in found)


@dataclass
class Sequential:
    """Interim analyses after every pair, and fixed plans of every size on the same runs."""

    tally: Tally = field(default_factory=Tally)
    detected: Counter[int] = field(default_factory=Counter)
    repeats: int = 0

    def add(self, scenario: Scenario, sides: Sides, prior: NoisePrior) -> None:
        """Analyse after every pair until it stops; and decide once for every size."""
        self.repeats += 1
        plan = StoppingPlan(first=scenario.first, most=scenario.most)
        counts = range(plan.first, plan.most + 1)
        known = {
            count: gather(sides.candidate[:count], sides.baseline[:count], scenario.layout, prior) for count in counts
        }
        for slowdown in slowdowns_of(scenario):
            for count in counts:
                found = analyze(with_slowdown(known[count], slowdown), plan, scenario.tolerance, SETTINGS)
                if found.stop != StopReason.NOT_YET:
                    used = Sides(sides.candidate[:count], sides.baseline[:count])
                    self.tally.add(slowdown, found.comparison.kind, device_seconds(used, scenario.layout), count)
                    if slowdown == 0:
                        self.tally.stops[found.stop] += 1
                    break
        for count in counts:
            fixed = decide(with_slowdown(known[count], 2 * scenario.tolerance), scenario.tolerance, SETTINGS)
            self.detected[count] += fixed.kind == VerdictKind.REGRESSED

    def lines(self, scenario: Scenario) -> Iterator[str]:
        """What came out, for the table."""
        yield row(f"gaudi-perf, {scenario.first} to {scenario.most} pairs", self.tally, scenario)
        reference = 2 * scenario.tolerance
        power = self.tally.share(reference, VerdictKind.REGRESSED)
        counts = range(scenario.first, scenario.most + 1)
        enough = [count for count in counts if self.detected[count] / self.repeats >= power]
        equal = enough[0] if enough else scenario.most
        used = {slowdown: statistics.fmean(self.tally.runs[slowdown]) for slowdown in slowdowns_of(scenario)}
        yield f"    a fixed plan that finds {reference:.0%} as often ({power:.1%}) needs {equal} pairs; analyses use"
        yield "    " + ", ".join(f"{slowdown:.0%}: {mean:.1f} ({mean / equal:.0%})" for slowdown, mean in used.items())
        stops = ", ".join(f"{stop.value} {count / self.repeats:.1%}" for stop, count in self.tally.stops.items())
        yield f"    stopped without a slowdown: {stops}"


RIVALS = {"Student's t on run medians": False, "the same, probes subtracted": True}
"""The fair rival: a textbook's test with this suite's error rate and floor, without and with the probes."""


def rivals(scenario: Scenario, sides: Sides, tallies: dict[str, Tally]) -> None:
    seconds = device_seconds(sides, scenario.layout)
    for name, probes in RIVALS.items():
        change, reach = students_t(sides.candidate, sides.baseline, scenario.layout, probes=probes)
        for slowdown in slowdowns_of(scenario):
            estimate = change + np.log1p(slowdown)
            if estimate > max(reach, material(scenario.tolerance)):
                kind = VerdictKind.REGRESSED
            elif estimate + reach < largest_unchanged(scenario.tolerance):
                kind = VerdictKind.UNCHANGED
            else:
                kind = VerdictKind.INCONCLUSIVE
            tallies[name].add(slowdown, kind, seconds, len(sides.candidate))


def others(scenario: Scenario, sides: Sides, tallies: dict[str, Tally]) -> None:
    seconds = device_seconds(sides, scenario.layout)
    for slowdown in slowdowns_of(scenario):
        candidate = [replace(sample, rounds=sample.rounds * (1 + slowdown)) for sample in sides.candidate]
        for name, rule in RULES.items():
            alarm = rule(candidate, sides.baseline)
            kind = VerdictKind.REGRESSED if alarm else VerdictKind.UNCHANGED
            tallies[name].add(slowdown, kind, seconds, len(candidate))


def row(name: str, tally: Tally, scenario: Scenario) -> str:
    detections = " ".join(
        f"{tally.share(slowdown, VerdictKind.REGRESSED):6.1%}" for slowdown in SLOWDOWNS if slowdown > 0
    )
    missed = tally.share(2 * scenario.tolerance, VerdictKind.UNCHANGED)
    unclear = tally.share(0.0, VerdictKind.INCONCLUSIVE)
    seconds = statistics.fmean(tally.seconds[0.0])
    alarms = tally.share(0.0, VerdictKind.REGRESSED)
    return f"  {name:<32} {alarms:7.2%} | {detections} | {missed:6.2%} {unclear:7.1%} {seconds:8.1f}"


def run(
    scenario: Scenario, repeats: int, others_repeats: int, seed: int, *, only_rivals: bool = False
) -> Iterator[str]:
    """The table of a scenario, line by line."""
    rng = np.random.default_rng(seed)
    fixed, sequential = {SETTINGS: Tally(), STRICTER: Tally()}, Sequential()
    tallies, fair = {name: Tally() for name in RULES}, {name: Tally() for name in RIVALS}
    estimates: list[float] = []
    for number in range(repeats):
        sides = scenario.draw(rng)
        prior = scenario.prior(rng) if scenario.prior else NoisePrior()
        rivals(scenario, sides, fair)
        if only_rivals:
            continue
        estimates.append(ours(scenario, sides, prior, fixed))
        if number < others_repeats:
            others(scenario, sides, tallies)
        if scenario.draw_most is not None and number < repeats // 8:
            sequential.add(scenario, scenario.draw_most(rng), prior)
    yield f"{scenario.data}; {scenario.name} ({repeats} comparisons, tolerance {scenario.tolerance:.0%})"
    shown = " ".join(f"{slowdown:6.0%}" for slowdown in SLOWDOWNS if slowdown > 0)
    yield f"  {'rule':<32} {'false':>7} | {shown} | {'missed':>6} {'unclear':>7} {'dev-s':>8}"
    for name, tally in fair.items():
        yield row(name, tally, scenario)
    if only_rivals:
        return
    yield row("gaudi-perf", fixed[SETTINGS], scenario)
    yield row(f"the same, {STRICTER.false_alarms:.1%} permitted", fixed[STRICTER], scenario)
    if sequential.repeats:
        yield from sequential.lines(scenario)
    if others_repeats:
        for name, tally in tallies.items():
            yield row(name, tally, scenario)
    for settings, tally in fixed.items():
        low, high = interval(tally.kinds[0.0][VerdictKind.REGRESSED], repeats)
        yield f"  false alarms, {settings.false_alarms:.1%} permitted: 95 % interval {low:.2%} to {high:.2%}"
    yield f"  one threshold for its estimates, their distribution being known, finds {one_threshold(estimates)}"
    yield ""


def interval(events: int, trials: int) -> tuple[float, float]:
    found = binomtest(events, trials).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def speed() -> str:
    """The time of a verdict over 10,000 rounds."""
    rng = np.random.default_rng(0)
    runs = [RunSample(np.exp(rng.normal(0, 0.01, 100)), np.exp(rng.normal(0, 0.01, 100))) for _ in range(100)]
    compare(runs[:2], runs[2:4])  # scipy is imported
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        compare(runs[:50], runs[50:])
        times.append(time.perf_counter() - begin)
    return f"a verdict over 10,000 rounds (100 runs): median {statistics.median(times) * 1e3:.1f} ms"


def chosen(scenarios: Iterable[Scenario], only: Sequence[str]) -> list[Scenario]:
    """Those whose data or name contain a word; what the recorder noted of the machine, after the colon, is no name."""
    names = ((one, f"{one.data.partition(':')[0]}; {one.name}") for one in scenarios)
    return [one for one, name in names if not only or any(word in name for word in only)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=400, help="comparisons per scenario (default: 400)")
    parser.add_argument(
        "--others-repeats", type=int, default=200, help="how many of them the others see (default: 200)"
    )
    parser.add_argument("--no-others", action="store_true", help="leave the other rules out")
    parser.add_argument("--only-rivals", action="store_true", help="only Student's t, seconds")
    parser.add_argument("--only", action="append", default=[], help="scenarios whose name contains this")
    parser.add_argument("--noise", type=Path, default=Path(__file__).parent / "noise", help="recorded noise")
    parser.add_argument("--seed", type=int, default=20, help="of all draws (default: 20)")
    parser.add_argument("--limits", action="store_true", help="only what the recordings allow, by their spreads")
    arguments = parser.parse_args()
    if arguments.limits:
        for line in limits(arguments.noise):
            print(line)
        return
    print(speed(), flush=True)
    scenarios = chosen([*synthetic(), *recorded(arguments.noise)], arguments.only)
    if not scenarios:
        sys.exit(f"no scenario's name contains {' or '.join(arguments.only)}")
    seen = 0 if arguments.no_others else arguments.others_repeats
    for scenario in scenarios:
        for line in run(scenario, arguments.repeats, seen, arguments.seed, only_rivals=arguments.only_rivals):
            print(line, flush=True)


if __name__ == "__main__":
    main()
