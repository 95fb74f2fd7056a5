"""What each constant of the rule buys: false alarms and power with a smaller and a larger one, on the same comparisons.

    python benchmarks/ablation.py                 # the numbers in docs/detection.md, half an hour
    python benchmarks/ablation.py --repeats 20    # a quick look

Comparisons are those of ``benchmarks/detection.py`` on the quiet server (with and without probes, side by side) and on
all recordings, as many of each; and others on servers that are not as the rule assumes (``unexpected``). False is the
share that is REGRESSED where nothing changed, found the share at twice the tolerance of the line (10 %; side by side on
the quiet server 4 %, where the probes differ 5 %).
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
from detection_rules.scenarios import Scenario, recorded, synthetic, unexpected

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
    Constant("session_freedom", 10.0, 250.0),
    Constant("run", 0.001, 0.02),
    Constant("run_freedom", 0.25, 16.0),
    Constant("shift_coefficient", 0.25, 0.75),
    Constant("shift_uncertainty", 0.25, 1.0),
    Constant("unseen", 0.25, 4.0),
    Constant("_UNEVEN", 0.75, 3.0, noise),
    Constant("_UNEVEN_POWER", 1.0, 1.6, noise),
    Constant("_COEFFICIENT", (0.4, 0.5), (0.75, 1.0), covariates),
    Constant("USUAL_RANGE", 1.5, 1000.0, covariates),
    Constant("SMALLEST_RANGE", 0.0, 0.04, covariates),
    Constant("_UNEXPLAINED_SPREAD", 0.02, 0.08, covariates),
    Constant("_PAIR_SHARE", 0.06, 1.0, evidence),
    Constant("_RUN_DOUBT", (1e-30, 0.25), (0.9, 0.25), model),
    Constant("_SLOWER", (0.05, 0.025), (0.1, 0.05), model),
)


Drawn = Sequence[tuple[Scenario, Sides, NoisePrior]]


def comparisons(scenarios: Sequence[Scenario], repeats: int, seed: int) -> Drawn:
    """As many of every scenario, with what is known of its noise."""
    rng = np.random.default_rng(seed)
    draws = (one for one in scenarios for _ in range(repeats))
    return [(one, one.draw(rng), one.prior(rng) if one.prior else NoisePrior()) for one in draws]


def shares(drawn: Drawn, **instead: Any) -> str:
    """How many are called falsely, and how many are found, in percent; with other fields of what is assumed."""
    false = found = 0
    for scenario, sides, known in drawn:
        prior = known if scenario.prior else replace(known, **instead)
        evidence = gather(sides.candidate, sides.baseline, scenario.layout, prior)
        false += decide(evidence, scenario.tolerance, SETTINGS).kind == VerdictKind.REGRESSED
        slower = with_slowdown(evidence, 2 * scenario.tolerance)
        found += decide(slower, scenario.tolerance, SETTINGS).kind == VerdictKind.REGRESSED
    return f"{100 * false / len(drawn):.2f} / {100 * found / len(drawn):.1f}"


def lines(directory: Path, repeats: int, seed: int) -> Iterator[str]:
    """The table, line by line."""
    usual = [one for one in synthetic() if one.prior is None and "quiet" in one.data]
    kinds = [comparisons(scenarios, repeats, seed) for scenarios in ((*usual, *recorded(directory)), unexpected())]
    yield f"{' and '.join(str(len(drawn)) for drawn in kinds)} comparisons; as it is: {', '.join(map(shares, kinds))}"
    yield "| constant | value | instead: false / found, unexpected | instead: false / found, unexpected |"
    yield "| --- | --- | --- | --- |"
    for one in CONSTANTS:
        cells = []
        for other in (one.smaller, one.larger):
            with ExitStack() as stack:
                if one.module:
                    stack.enter_context(patch.object(one.module, one.name, other))
                fields = {} if one.module else {one.name: other}
                cells.append(f"{other}: {', '.join(shares(drawn, **fields) for drawn in kinds)}")
        yield f"| {one.name} | {getattr(one.module or NoisePrior(), one.name)} | {' | '.join(cells)} |"


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
