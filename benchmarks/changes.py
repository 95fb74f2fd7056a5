"""Changes of level that are found, and extra reports: this suite's, Otava's, PELT's and a threshold's.

    pip install --no-deps "apache-otava>=0.8,<0.9"     # this benchmark's only; its own pins would replace numpy
    python benchmarks/changes.py                       # generated series, a minute
    python benchmarks/changes.py --annotated DIRECTORY # and annotated ones, as the Turing Change Point Dataset has them

Generated series have a known truth: a change counts as found if it is reported within two sessions of where it is, and
what is reported elsewhere is extra. A ramp is found by any report within it. Sessions lie 0.3, 1 or 2.5 % apart.

Annotated series: a directory with ``annotations.json`` (by series, then by annotator, the indices) and the series as
JSON files of the same names, anywhere below it (https://github.com/alan-turing-institute/TCPD; Mozilla's annotated
performance series have the same format, https://github.com/mozilla/REALISE-Performance). As in that benchmark (van den
Burg and Williams 2020, arXiv:2003.06222) the margin is five places, recall is the mean over annotators, and only a
report that nobody annotated is extra. Series of several dimensions, with gaps or with values that are not above 0 are
left out.

CPU time is of a process that has imported everything, per series.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ruptures import KernelCPD

from gaudi_perf.statistics.change_points import change_points

Spans = list[tuple[int, int]]
Rule = Callable[[list[float], list[int]], list[int]]

MARGIN, ANNOTATED_MARGIN = 2, 5
APART = (0.003, 0.01, 0.025)


def ours(levels: list[float], suspects: list[int]) -> list[int]:
    return [point.index for point in change_points(levels, suspects=suspects).points]


def otava(levels: list[float], suspects: list[int], smallest: float = 0.0) -> list[int]:
    from otava.analysis import compute_change_points

    return [int(point.index) for point in compute_change_points(levels, min_magnitude=smallest)[0]]


def pelt(levels: list[float], suspects: list[int]) -> list[int]:
    values = np.log(levels)
    apart = max(1.4826 * float(np.median(np.abs(np.diff(values)))) / np.sqrt(2), 1e-4)
    search = KernelCPD(kernel="linear", min_size=2).fit(values[:, None])
    return [int(index) for index in search.predict(pen=3 * np.log(values.size) * apart**2)[:-1]]


def threshold(levels: list[float], suspects: list[int]) -> list[int]:
    return [index for index in range(1, len(levels)) if abs(levels[index] / levels[index - 1] - 1) > 0.05]


RULES: dict[str, Rule] = {
    "gaudi-perf": ours,
    "Otava": otava,
    "Otava, 2.5 % and more": lambda levels, suspects: otava(levels, suspects, 0.025),
    "PELT": pelt,
    "5 % from one session to the next": threshold,
}


@dataclass(frozen=True)
class Series:
    """Levels in seconds, where they truly change (spans of first and last index), and where the stack changed."""

    levels: list[float]
    truth: Spans
    suspects: list[int] = field(default_factory=list)


def _changed(noise: np.ndarray, changes: Sequence[tuple[int, float]], **fields: Any) -> Series:
    for index, ratio in changes:
        noise[index:] += np.log(ratio)
    return Series(np.exp(noise).tolist(), [(index, index) for index, _ in changes], **fields)


def nothing(rng: np.random.Generator, noise: np.ndarray) -> Series:
    return _changed(noise, [])


def a_step(rng: np.random.Generator, noise: np.ndarray) -> Series:
    return _changed(noise, [(int(rng.integers(noise.size // 4, 3 * noise.size // 4)), 1.05)])


def three_steps(rng: np.random.Generator, noise: np.ndarray) -> Series:
    places = np.sort(rng.choice(np.arange(noise.size // 8, noise.size * 7 // 8, noise.size // 8), 3, replace=False))
    ratios = (1 + rng.uniform(0.04, 0.12, 3)) ** rng.choice([-1, 1], 3)
    return _changed(noise, list(zip(places.tolist(), ratios.tolist(), strict=True)))


def the_last_sessions(rng: np.random.Generator, noise: np.ndarray) -> Series:
    return _changed(noise, [(noise.size - int(rng.integers(3, 8)), 1.08)])


def a_ramp(rng: np.random.Generator, noise: np.ndarray) -> Series:
    first, last = noise.size // 3, 2 * noise.size // 3
    ramp = np.clip((np.arange(noise.size) - first) / (last - first), 0, 1)
    return Series(np.exp(noise + np.log(1.12) * ramp).tolist(), [(first, last)])


def an_odd_session(rng: np.random.Generator, noise: np.ndarray) -> Series:
    noise[rng.integers(5, noise.size - 5)] += np.log(rng.choice([0.8, 0.9, 1.2, 1.4]))
    return _changed(noise, [])


def a_slow_phase(rng: np.random.Generator, noise: np.ndarray) -> Series:
    first = int(rng.integers(noise.size // 8, noise.size * 5 // 8))
    return _changed(noise, [(first, 1.08), (first + int(rng.integers(4, 10)), 1 / 1.08)])


def faster_at_weekends(rng: np.random.Generator, noise: np.ndarray) -> Series:
    return _changed(noise + np.where(np.arange(noise.size) % 7 > 4, np.log(0.98), 0.0), [])


def sessions_like_the_one_before(rng: np.random.Generator, noise: np.ndarray) -> Series:
    correlated = noise.copy()
    for index in range(1, noise.size):
        correlated[index] = 0.5 * correlated[index - 1] + np.sqrt(0.75) * noise[index]
    return _changed(correlated, [])


def heavy_tails(rng: np.random.Generator, noise: np.ndarray) -> Series:
    return _changed(rng.standard_t(3, noise.size) * float(np.std(noise)) / np.sqrt(3), [])


def noise_grows(rng: np.random.Generator, noise: np.ndarray) -> Series:
    noise[noise.size // 2 :] *= 4
    return _changed(noise, [])


def two_releases(rng: np.random.Generator, noise: np.ndarray) -> Series:
    """Measured in every session, the newer one 6 % slower: in the order of versions, as the suite has them."""
    return _changed(noise, [(noise.size // 2, 1.06)], suspects=[noise.size // 2])


GENERATED = (
    nothing, a_step, three_steps, the_last_sessions, a_ramp, an_odd_session, a_slow_phase, faster_at_weekends,
    sessions_like_the_one_before, heavy_tails, noise_grows, two_releases,
)  # fmt: skip


def _within(found: int, spans: Spans, margin: int) -> bool:
    return any(first - margin <= found <= last + margin for first, last in spans)


def generated(sessions: int, repeats: int, seed: int) -> Iterator[str]:
    """A table: of each kind of series the changes that each rule finds, and extra reports a series."""
    yield f"| {sessions} sessions: found / extra a series | " + " | ".join(RULES) + " |"
    yield "| --- " * (len(RULES) + 1) + "|"
    spent = dict.fromkeys(RULES, 0.0)
    for make in GENERATED:
        cells = []
        for name, rule in RULES.items():
            rng, true, hits, extra = np.random.default_rng(seed), 0, 0, 0
            for number in range(repeats):
                series = make(rng, rng.normal(0, APART[number % len(APART)], sessions))
                begin = time.process_time()
                found = rule(series.levels, series.suspects)
                spent[name] += time.process_time() - begin
                true += len(series.truth)
                hits += sum(any(_within(one, [span], MARGIN) for one in found) for span in series.truth)
                extra += sum(not _within(one, series.truth, MARGIN) for one in found)
            cells.append((f"{hits / true:.0%} / " if true else "") + f"{extra / repeats:.2f}")
        yield f"| {make.__name__.replace('_', ' ')} | " + " | ".join(cells) + " |"
    each = repeats * len(GENERATED)
    yield "| CPU time a series | " + " | ".join(f"{1e3 * seconds / each:.2f} ms" for seconds in spent.values()) + " |"


def _read(directory: Path) -> Iterator[tuple[str, list[float], list[list[int]]]]:
    annotations = json.loads(next(directory.rglob("annotations.json")).read_text("utf-8"))
    for name, annotators in sorted(annotations.items()):
        path = next(directory.rglob(f"{name}.json"), None)
        document = None if path is None else json.loads(path.read_text("utf-8"))
        if document is None or document["n_dim"] != 1:
            continue
        values = document["series"][0]["raw"]
        if all(isinstance(value, int | float) and value > 0 for value in values):
            yield name, [float(value) for value in values], [list(indices) for indices in annotators.values()]


def annotated(directory: Path) -> Iterator[str]:
    """A table: each rule's mean recall of annotated changes, and its extra reports over all series."""
    series = list(_read(directory))
    yield f"| {len(series)} annotated series | recall | extra reports | reports | CPU time a series |"
    yield "| --- | --- | --- | --- | --- |"
    for name, rule in RULES.items():
        recalls, extra, reports, spent = [], 0, 0, 0.0
        for _, levels, annotators in series:
            begin = time.process_time()
            found = rule(levels, [])
            spent += time.process_time() - begin
            # The first place begins a segment for everybody, there and here.
            everybody = [(index, index) for index in {0, *(index for one in annotators for index in one)}]
            reported = [(index, index) for index in [0, *found]]
            recalls.append(
                np.mean([np.mean([_within(at, reported, ANNOTATED_MARGIN) for at in {0, *one}]) for one in annotators])
            )
            extra += sum(not _within(index, everybody, ANNOTATED_MARGIN) for index in found)
            reports += len(found)
        yield f"| {name} | {np.mean(recalls):.1%} | {extra} | {reports} | {1e3 * spent / len(series):.1f} ms |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=300, help="generated series of each kind (default: 300)")
    parser.add_argument("--seed", type=int, default=2026, help="of generated series; 7 chose constants (default: 2026)")
    parser.add_argument("--annotated", type=Path, help="a directory with annotated series")
    options = parser.parse_args()
    try:
        otava([1.0, 1.0, 1.0], [])
    except ImportError:
        del RULES["Otava"], RULES["Otava, 2.5 % and more"]
        print("Otava is left out: pip install --no-deps 'apache-otava>=0.8,<0.9'")
    ours([1.0] * 9, [])  # ruptures and scipy are imported
    for sessions in (20, 80, 200):
        for line in generated(sessions, options.repeats, options.seed):
            print(line, flush=True)
        print()
    if options.annotated:
        for line in annotated(options.annotated):
            print(line, flush=True)


if __name__ == "__main__":
    main()
