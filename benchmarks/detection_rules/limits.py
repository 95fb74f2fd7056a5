"""What recorded noise allows: how far runs and stretches of runs lie apart, and how many runs a slowdown takes.

Least squares for the probes, Student's t for the number of runs: no part of the suite's rule is in it, but in the line
that says what error the rule itself reckons with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import nct, norm, t

from detection_rules.noise import QuietServer, Recorded, load
from gaudi_perf.statistics.audit import draw_stored
from gaudi_perf.statistics.evidence import Layout, gather
from gaudi_perf.statistics.sample import FloatArray, RunSample, levels

_ERROR, _POWER = 0.005, 0.9
_MOST = 2000
_FIRST_ANALYSIS = 3
_DRAWS = 60
_ROUNDS = 10


def pairs_needed(spread: float, slowdown: float) -> int:
    """The fewest pairs with which a one-sided t-test at 0.5 % finds a slowdown in 90 %, pairs being independent.

    Args:
        spread: standard deviation of a pair's difference, in logarithms.
        slowdown: 0.1 for 10 %.
    """
    for count in range(2, _MOST):
        threshold = t.ppf(1 - _ERROR, count - 1)
        if nct.sf(threshold, count - 1, math.log1p(slowdown) / spread * math.sqrt(count)) >= _POWER:
            return count
    return _MOST


def without_probes_part(values: FloatArray, probes: FloatArray) -> FloatArray:
    """Values less what probes explain of them, by least squares, around their mean."""
    centred, signs = values - values.mean(), probes - probes.mean()
    variance = float(signs @ signs)
    explained = 0.0 if variance == 0 else float(signs @ centred) / variance
    return np.asarray(centred - explained * signs)


def _probes(samples: list[RunSample]) -> FloatArray:
    return np.array([level if (level := sample.probe_level) is not None else 0.0 for sample in samples])


def _of_pairs(noise: Recorded) -> Iterator[str]:
    first, second = noise.samples[: len(noise.samples) // 2 * 2 : 2], noise.samples[1::2]
    if noise.in_turns:
        pairs = zip(first, second, strict=True)
        differences = np.array([float(np.median(np.log(one.rounds / other.rounds))) for one, other in pairs])
        left = differences - differences.mean()
    else:
        differences = levels(first) - levels(second)
        left = without_probes_part(differences, _probes(first) - _probes(second))
    spread = float(np.std(left, ddof=1))
    fixed = {slowdown: pairs_needed(spread, slowdown) for slowdown in (0.05, 0.1, 0.2)}
    needed = ", ".join(f"{slowdown:.0%}: {count}" for slowdown, count in fixed.items())
    spreads = f"{np.std(differences, ddof=1):.1%}, {spread:.1%} less what the probes explain"
    yield f"  pairs differ by {spreads}; needed for {needed}"
    least = min(1.0, _FIRST_ANALYSIS / fixed[0.1])
    yield f"  a first interim analysis after {_FIRST_ANALYSIS} pairs uses {least:.0%} of the plan for 10 % at the least"


def _of_stretches(noise: Recorded, ours: int = 10, theirs: int = 20) -> Iterator[str]:
    left = without_probes_part(levels(noise.samples), _probes(noise.samples))
    half = left.size // 2
    before, after = levels(noise.samples)[:half].mean(), levels(noise.samples)[half:].mean()
    drift, rest = math.expm1(after - before), math.expm1(left[half:].mean() - left[:half].mean())
    yield f"  the second half is {drift:+.1%} to the first, {rest:+.1%} less what the probes explain"
    rolled = np.array([np.roll(left, -begin) for begin in range(left.size)])
    gaps = range(left.size - ours - theirs + 1)
    differences = np.concatenate(
        [rolled[:, theirs + gap :][:, :ours].mean(axis=1) - rolled[:, :theirs].mean(axis=1) for gap in gaps]
    )
    run, moved = float(np.std(left, ddof=2)), float(np.std(differences))
    alone = run * math.sqrt(1 / ours + 1 / theirs)
    visible = math.expm1((norm.ppf(1 - _ERROR) + norm.ppf(_POWER)) * moved)
    yield f"  runs lie {run:.1%} apart less what the probes explain; means of {ours} and {theirs} neighbours differ by"
    yield f"  {moved:.1%}, of independent runs by {alone:.1%}; if that were known, 90 % would find {visible:.0%}"
    yield from _of_the_rule(noise.samples, ours, theirs)


def _of_the_rule(samples: list[RunSample], ours: int, theirs: int) -> Iterator[str]:
    rng = np.random.default_rng(1)
    errors, sessions, shifts = [], [], []
    for _ in range(_DRAWS):
        sides = draw_stored(samples, ours, theirs, rng)
        evidence = gather(sides.candidate, sides.baseline, Layout.STORED)
        known = evidence.posterior
        errors.append(math.sqrt(float(known.weights @ (known.deviations**2 + (known.means - known.mean) ** 2))))
        sessions.append(evidence.session_spread)
        shifts.append(abs(evidence.probe_shift or 0.0))
    middle = [float(np.median(values)) for values in (errors, sessions, shifts)]
    yield (
        f"  the rule's own error: {middle[0]:.1%} (median of {_DRAWS}), assumed night-to-night variation: "
        f"{middle[1]:.1%}; the probes of the sides differ by {middle[2]:.1%}"
    )


def _of_slow_sessions(false: float = 0.055, draws: int = 40_000) -> str:
    """What a threshold finds without probes, were the quiet server's noise known, if it calls so many slow sessions."""
    server, rng = QuietServer(), np.random.default_rng(1)

    def session(runs: int, bad: float) -> FloatArray:
        medians = np.median(rng.normal(0, server.round, (draws, runs, _ROUNDS)), axis=-1)
        luck = rng.normal(0, server.session, draws) + math.log1p(server.slow) * (rng.random(draws) < bad)
        return np.asarray(luck + (medians + rng.normal(0, server.run, (draws, runs))).mean(axis=1))

    def differences(slow: float, bad: float) -> FloatArray:
        return np.asarray(session(5, slow) - np.mean([session(1, bad) for _ in range(5)], axis=0))

    threshold = np.quantile(differences(1.0, server.bad), 1 - false)
    found = float(np.mean(differences(0.0, 0.0) + math.log1p(0.1) > threshold))
    return f"quiet server without probes: where {false:.1%} of slow sessions are called, 10 % is found in {found:.0%}"


def limits(directory: Path) -> Iterator[str]:
    """The limits of every recording, line by line."""
    yield _of_slow_sessions()
    for path in sorted(directory.glob("*.npz")):
        if path.name.endswith(".part.npz"):
            continue
        noise = load(path)
        yield f"recorded {noise.name}, {'held out' if noise.held_out else 'fitted'}: {noise.description}"
        yield from _of_pairs(noise)
        if not noise.in_turns:
            yield from _of_stretches(noise)
