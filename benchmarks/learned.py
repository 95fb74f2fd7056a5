"""What it is worth to learn the noise prior: verdicts with and without, on servers whose sessions differ more or less.

    python benchmarks/learned.py                  # the numbers in docs/detection.md, some minutes
    python benchmarks/learned.py --repeats 100    # a quick look

Synthetic noise: runs 0.5 % apart, rounds 1 %, sessions as the table says. The candidate has five runs of a session;
what it is held against is a published number (a single session's, without probes), five runs of one session, or a run
of each of five.

With ``--slow``: runs without probes where some sessions are slow by 8 % and nothing shows it, by the number of sessions
from which the share of slow ones is learned. They are of the same server, so some of them are slow.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from detection_rules.noise import QuietServer
from scipy.stats import binomtest

from gaudi_perf.judging.noise import estimated_from
from gaudi_perf.statistics.evidence import Layout, gather, with_slowdown
from gaudi_perf.statistics.noise import NoisePrior
from gaudi_perf.statistics.sample import RunSample
from gaudi_perf.statistics.verdict import ComparisonSettings, decide
from gaudi_perf.vocabulary.verdict import VerdictKind

ROUNDS = 10
TOLERANCE = 0.05
SLOWDOWNS = (0.0, 0.05, 0.1)
SETTINGS = ComparisonSettings()


def baseline(server: QuietServer, kind: str, rng: np.random.Generator) -> list[RunSample]:
    """The runs of a baseline."""
    if kind == "published":
        return [RunSample(np.exp(rng.normal(0, np.hypot(server.session, server.run), 1)))]
    sessions, runs = (1, 5) if kind == "one session" else (5, 1)
    return [run for number in range(sessions) for run in server.runs(f"before {number}", runs, ROUNDS, rng)]


def known(server: QuietServer, sessions: int, kind: str, rng: np.random.Generator) -> NoisePrior:
    """What so many sessions of two runs teach."""
    history = [run for number in range(sessions) for run in server.runs(f"history {number}", 2, ROUNDS, rng)]
    learned = estimated_from(history, probes=kind != "published")
    return NoisePrior() if learned is None else learned.prior


def rows(server: QuietServer, kind: str, repeats: int, seed: int) -> Iterator[str]:
    """A line, with what comes of no history, of ten sessions and of thirty in every cell."""
    rng = np.random.default_rng(seed)
    counts: dict[int, dict[float, Counter[VerdictKind]]] = {}
    for _ in range(repeats):
        candidate, stored = server.runs("candidate", 5, ROUNDS, rng), baseline(server, kind, rng)
        if kind == "published":
            candidate = [RunSample(run.rounds, session=run.session) for run in candidate]
        for sessions in (0, 10, 30):
            prior = known(server, sessions, kind, rng)
            if kind == "published":  # as in ``as_published``
                prior = replace(prior, slow_sessions=0.0)
            evidence = gather(candidate, stored, Layout.STORED, prior)
            tally = counts.setdefault(sessions, {slowdown: Counter() for slowdown in SLOWDOWNS})
            for slowdown in SLOWDOWNS:
                tally[slowdown][decide(with_slowdown(evidence, slowdown), TOLERANCE, SETTINGS).kind] += 1
    columns = (
        *((slowdown, VerdictKind.REGRESSED) for slowdown in SLOWDOWNS),
        (0.1, VerdictKind.UNCHANGED),
        (0.0, VerdictKind.INCONCLUSIVE),
    )
    cells = (
        " / ".join(f"{100 * tally[slowdown][which] / repeats:.1f}" for tally in counts.values())
        for slowdown, which in columns
    )
    yield f"| {server.session:.1%} | {kind} | {' | '.join(cells)} |"


def slow_rows(repeats: int, seed: int) -> Iterator[str]:
    """A line for each length of the history: false in a slow session and in all; found where no session is slow, and
    how many more sessions the advice names there.
    """
    lengths, share = (0, 10, 30, 60, 120, 300), QuietServer.bad
    servers = {True: QuietServer(probes=False), False: QuietServer(probes=False, bad=0.0)}
    found = {(slow, length): np.zeros(len(SLOWDOWNS)) for slow in servers for length in lengths}
    advised: dict[int, list[int]] = {length: [] for length in lengths}
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        for slow, server in servers.items():
            candidate = replace(server, bad=float(slow)).runs("candidate", 5, ROUNDS, rng)
            stored = baseline(server, "five sessions", rng)
            for length in lengths:
                evidence = gather(candidate, stored, Layout.STORED, known(server, length, "five sessions", rng))
                for number, slowdown in enumerate(SLOWDOWNS):
                    verdict = decide(with_slowdown(evidence, slowdown), TOLERANCE, SETTINGS)
                    found[slow, length][number] += verdict.kind == VerdictKind.REGRESSED
                    if not slow and verdict.more_sessions is not None:
                        advised[length].append(verdict.more_sessions)
    for length in lengths:
        false, usually = int(found[True, length][0]), found[False, length]
        low, high = (share * end for end in binomtest(false, repeats).proportion_ci(0.95, method="exact"))
        more = f"{np.median(advised[length]):.0f}" if advised[length] else "-"
        rest = (1 - share) * usually[0] / repeats
        yield (
            f"| {length or 'none'} | {false / repeats:.1%} | {share * false / repeats + rest:.2%} ({low + rest:.2%} to "
            f"{high + rest:.2%}) | {usually[1] / repeats:.1%} | {usually[2] / repeats:.1%} | {more} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=600, help="comparisons a line (default: 600)")
    parser.add_argument("--seed", type=int, default=5, help="of all draws (default: 5)")
    parser.add_argument("--slow", action="store_true", help="without probes, by the share of slow sessions")
    arguments = parser.parse_args()
    if arguments.slow:
        print("| sessions known | false in a slow session | false in all (95 %) | 5 % | 10 % | advised, median |")
        print("| --- | --- | --- | --- | --- | --- |")
        for line in slow_rows(arguments.repeats, arguments.seed):
            print(line, flush=True)
        return
    print("| sessions apart | baseline | false: none / 10 / 30 known | 5 % | 10 % | missed | INCONCLUSIVE at 0 % |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for session in (0.003, 0.01, 0.03):
        for kind in ("published", "one session", "five sessions"):
            for line in rows(QuietServer(session=session, bad=0.0), kind, arguments.repeats, arguments.seed):
                print(line, flush=True)


if __name__ == "__main__":
    main()
