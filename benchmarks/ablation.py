"""What each constant of the rule buys: false alarms and power with a smaller and a larger one, on the same comparisons.

    python benchmarks/ablation.py                 # the numbers in docs/detection.md, a quarter of an hour
    python benchmarks/ablation.py --repeats 20    # a quick look

Comparisons are those of ``benchmarks/detection.py`` on the quiet server (with and without probes, side by side) and on
all recordings, as many of each. False is the share that is REGRESSED where nothing changed, found the share at twice
the tolerance of the line (10 %; side by side on the quiet server 4 %).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from detection_rules.scenarios import Scenario, recorded, synthetic
from scipy.stats import binomtest

from gaudi_perf.statistics import covariates, evidence, model, noise
from gaudi_perf.statistics.evidence import gather, with_slowdown
from gaudi_perf.statistics.noise import NoisePrior
from gaudi_perf.statistics.sample import Sides
from gaudi_perf.statistics.verdict import ComparisonSettings, decide
from gaudi_perf.vocabulary.verdict import VerdictKind

SETTINGS = ComparisonSettings()


@dataclass(frozen=True)
class Constant:
    """A constant of a module, or a field of the noise prior, and what is tried instead of it."""

    name: str
    smaller: Any
    larger: Any
    module: ModuleType | None = None


CONSTANTS = (
    Constant("session", 0.005, 0.02),
    Constant("session_freedom", 25.0, 400.0),
    Constant("lone_freedom", 5.0, 80.0),
    Constant("run", 0.0025, 0.01),
    Constant("run_freedom", 1.0, 16.0),
    Constant("shift_coefficient", 0.25, 1.0),
    Constant("shift_uncertainty", 0.25, 1.0),
    Constant("unseen", 0.25, 4.0),
    Constant("_UNEVEN", 0.75, 3.0, noise),
    Constant("_UNEVEN_POWER", 1.0, 1.6, noise),
    Constant("_COEFFICIENT", (0.4, 0.5), (0.75, 1.0), covariates),
    Constant("_LEAST_UNCERTAINTY", 0.0125, 0.2, covariates),
    Constant("USUAL_RANGE", 1.5, 6.0, covariates),
    Constant("SMALLEST_RANGE", 0.0025, 0.04, covariates),
    Constant("_UNEXPLAINED_SPREAD", 0.02, 0.08, covariates),
    Constant("_MOST_UNEXPLAINED", 2.0, 20.0, covariates),
    Constant("_PAIR_SHARE", 0.06, 1.0, evidence),
    Constant("_RUN_DOUBT", (0.1, 0.25), (0.9, 0.25), model),
    Constant("_GROUP_DOUBT", (0.003, 10.0), (0.3, 10.0), model),
    Constant("_SLOWER", (0.05, 0.025), (0.1, 0.05), model),
)


def comparisons(directory: Path, repeats: int, seed: int) -> list[tuple[Scenario, Sides]]:
    """As many of every scenario without a prior of its own."""
    rng = np.random.default_rng(seed)
    scenarios = [one for one in synthetic() if one.prior is None and "quiet" in one.data]
    return [(one, one.draw(rng)) for one in (*scenarios, *recorded(directory)) for _ in range(repeats)]


def shares(drawn: Sequence[tuple[Scenario, Sides]], prior: NoisePrior) -> tuple[int, int]:
    """How many are called falsely, and how many are found."""
    false = found = 0
    for scenario, sides in drawn:
        known = gather(sides.candidate, sides.baseline, scenario.layout, prior)
        false += decide(known, scenario.tolerance, SETTINGS).kind == VerdictKind.REGRESSED
        slower = with_slowdown(known, 2 * scenario.tolerance)
        found += decide(slower, scenario.tolerance, SETTINGS).kind == VerdictKind.REGRESSED
    return false, found


def instead(drawn: Sequence[tuple[Scenario, Sides]], constant: Constant, value: Any) -> tuple[int, int]:
    """The same with another value of a constant."""
    with ExitStack() as stack:
        prior = NoisePrior()
        if constant.module is None:
            prior = replace(prior, **{constant.name: value})
        else:
            stack.enter_context(patch.object(constant.module, constant.name, value))
        return shares(drawn, prior)


def lines(directory: Path, repeats: int, seed: int) -> Iterator[str]:
    """The table, line by line."""
    drawn = comparisons(directory, repeats, seed)

    def cell(counts: tuple[int, int]) -> str:
        return f"{100 * counts[0] / len(drawn):.2f} / {100 * counts[1] / len(drawn):.1f}"

    usual = shares(drawn, NoisePrior())
    low, high = binomtest(usual[0], len(drawn)).proportion_ci(0.95, method="exact")
    yield f"{len(drawn)} comparisons; as it is: {cell(usual)}, false {low:.2%} to {high:.2%} (95 %)"
    yield "| constant | value | instead: false / found | instead: false / found |"
    yield "| --- | --- | --- | --- |"
    for one in CONSTANTS:
        value = getattr(one.module or NoisePrior(), one.name)
        cells = " | ".join(f"{other}: {cell(instead(drawn, one, other))}" for other in (one.smaller, one.larger))
        yield f"| {one.name} | {value} | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=150, help="comparisons of each scenario (default: 150)")
    parser.add_argument("--noise", type=Path, default=Path(__file__).parent / "noise", help="recorded noise")
    parser.add_argument("--seed", type=int, default=8, help="of all draws (default: 8)")
    arguments = parser.parse_args()
    for line in lines(arguments.noise, arguments.repeats, arguments.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
