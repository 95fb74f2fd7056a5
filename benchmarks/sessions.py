"""Error rates of whole sessions: cases judged one after the other, as pytest does, up to whether the session fails.

    python benchmarks/sessions.py                   # the numbers in docs/detection.md, some minutes
    python benchmarks/sessions.py --repeats 50      # a quick look

No worker runs: runs are made up, and go the way of measured ones: evidence, comparison, the level of each
case, gates, all cases together at the end, exit status. Noise is that of a quiet server: runs 0.5 % apart, rounds 1 %,
sessions 1 %, 3 % of sessions 8 % slow, which the probes show. All cases of a session share its luck.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from detection_rules.noise import Luck, QuietServer
from scipy.stats import binomtest

from gaudi_perf.judging.case import CaseJudge, Rules
from gaudi_perf.judging.evidence import CaseEvidence, Reference
from gaudi_perf.judging.multiple_testing import MultipleTesting
from gaudi_perf.judging.outcome import fails, with_added
from gaudi_perf.statistics.sequential import StoppingPlan
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.run import Measurement, Run
from gaudi_perf.vocabulary.stack import Device, Host, Stack
from gaudi_perf.vocabulary.verdict import CaseReport, VerdictKind
from gaudi_perf.vocabulary.workload import Workload

CASES = tuple(
    Case(
        configuration=Configuration(model=model, devices=devices, graphs=graphs, kv_cache=kv_cache),
        accelerator="hpu",
        workload=Workload(),
        scale="full",
    )
    for model in ("bloomz7b", "bloomz176b")
    for devices in (1, 8)
    for graphs in (True, False)
    for kv_cache in (True, False)
)
STACK = Stack(kind="synapse", version="1.24.0")
DEVICE = Device(name="gaudi2", accelerator="hpu")
HOST = Host(cpu="a processor", cores=160, memory_bytes=2**40)
CASE = Case(
    configuration=Configuration(model="bloomz7b", devices=1, graphs=True, kv_cache=True),
    accelerator="hpu",
    workload=Workload(),
    scale="full",
)
"""What is measured is one case by its documents; which of the session's cases it is shows in the latencies alone."""
ROUNDS = 10


def run_of(server: QuietServer, luck: Luck, session: str, number: int, factor: float, rng: np.random.Generator) -> Run:
    """A run of a session as it is stored, made longer by a factor."""
    made = server.run_of(luck, session, ROUNDS, rng)
    return Run(
        run_id=f"{session}-{number:08x}",
        session_id=session,
        started_at="2026-01-31T12:00:00Z",
        case=CASE,
        device=DEVICE,
        stack=STACK,
        host=HOST,
        measurement=Measurement(
            latencies_s=(factor * made.rounds).tolist(),
            probes_s=None if made.probes is None else made.probes.tolist(),
        ),
    )


Factor = Callable[[int], float]
"""By what the candidate's rounds of a case are longer, by the number of the case."""
Gather = Callable[[QuietServer, Factor, np.random.Generator], list[CaseEvidence]]


def session_label(number: int) -> str:
    """The name of a session, which the names of its runs begin with."""
    return f"202601{number + 1:02d}T120000.000000Z-00000000"


def stored(
    sessions: int,
    runs: int,
    candidates: int,
    baselines: int = 1,
    *,
    slow_session: bool = False,
    unalike: bool = False,
    probes: bool = True,
) -> Gather:
    """Runs of a session against baselines of so many sessions each.

    The session may be one of the slow ones, which may slow some cases by nothing and others by all of it (``unalike``).
    """

    def gather(server: QuietServer, factor: Factor, rng: np.random.Generator) -> list[CaseEvidence]:
        server = replace(server, probes=probes)
        lucks = [[server.luck(rng) for _ in range(sessions)] for _ in range(baselines)]
        own = (replace(server, bad=1.0) if slow_session else server).luck(rng)
        found = []
        for number in range(len(CASES)):
            felt = replace(own, rounds=own.rounds * rng.uniform()) if unalike else own
            ours = [run_of(server, felt, session_label(27), run, factor(number), rng) for run in range(candidates)]
            references = [
                Reference(
                    role="drift" if which == 0 else "release",
                    label=f"gaudi2/synapse-1.{24 - which}.0",
                    stack=STACK,
                    runs=tuple(
                        run_of(server, luck, session_label(7 * which + session), run, 1.0, rng)
                        for session, luck in enumerate(lucks[which])
                        for run in range(runs)
                    ),
                    level_s=1.0,
                )
                for which in range(baselines)
            ]
            found.append(CaseEvidence(tuple(ours), tuple(references)))
        return found

    return gather


def side_by_side(pairs: int) -> Gather:
    """Runs of two stacks in one session."""

    def gather(server: QuietServer, factor: Factor, rng: np.random.Generator) -> list[CaseEvidence]:
        own, label = server.luck(rng), session_label(27)
        found = []
        for number in range(len(CASES)):
            ours, theirs = (
                tuple(run_of(server, own, label, run, slow, rng) for run in range(pairs))
                for slow in (factor(number), 1.0)
            )
            found.append(CaseEvidence(ours, (Reference("side by side", "old", STACK, theirs, 1.0),)))
        return found

    return gather


@dataclass
class Tally:
    """What many sessions came to.

    Attributes:
        sessions: how many.
        failed: how many failed.
        falsely: how many had a REGRESSED of a case that did not change.
        slower: verdicts of the cases that are slower, at the end of their sessions.
        same: verdicts of the others.
        runs: runs of the candidate per case.
    """

    sessions: int = 0
    failed: int = 0
    falsely: int = 0
    slower: Counter[VerdictKind] = field(default_factory=Counter)
    same: Counter[VerdictKind] = field(default_factory=Counter)
    runs: int = 0

    def add(self, reports: Sequence[CaseReport], failed: bool, slow: Sequence[bool], runs: int) -> None:
        """Count a session."""
        kinds = [report.verdicts[0].kind for report in reports]
        self.sessions += 1
        self.failed += failed
        self.falsely += any(
            kind == VerdictKind.REGRESSED and not slowed for kind, slowed in zip(kinds, slow, strict=True)
        )
        for kind, slowed in zip(kinds, slow, strict=True):
            (self.slower if slowed else self.same)[kind] += 1
        self.runs += runs


def judge_session(evidence: Sequence[CaseEvidence], plan: StoppingPlan | None) -> tuple[list[CaseReport], bool, int]:
    """Judge a session as pytest does.

    Returns:
        What is said of each case in the end, whether the session fails, and how many runs were used.
    """
    testing, rules = MultipleTesting(len(evidence)), Rules()
    reports: dict[Case, CaseReport] = {}
    failed, used = False, 0
    for case, one in zip(CASES, evidence, strict=True):
        judge = CaseJudge(testing.rules(rules), plan)
        counts = [len(one.runs)] if plan is None else range(plan.first, plan.most + 1)
        for count in counts:
            judgement = judge.judge(_so_far(one, count))
            if judgement.settled:
                break
        used += count
        testing.add(case, judgement)
        reports[case] = CaseReport(case=case, verdicts=list(judgement.verdicts))
        failed |= fails(judgement.verdicts, "")
    for case, verdict in testing.conclude().added.items():
        reports[case] = with_added(reports[case], verdict)
        failed |= fails(reports[case].verdicts, "")
    return list(reports.values()), failed, used


def _so_far(evidence: CaseEvidence, count: int) -> CaseEvidence:
    references = [
        Reference("side by side", one.label, one.stack, one.runs[:count], one.level_s) if one.side_by_side else one
        for one in evidence.references
    ]
    return CaseEvidence(evidence.runs[:count], tuple(references))


def simulate(
    gather: Gather, slow: Sequence[bool], by: float, repeats: int, seed: int, plan: StoppingPlan | None = None
) -> Tally:
    """Judge many sessions.

    Args:
        gather: draws the runs of a session.
        slow: which cases are slower.
        by: by what share, 0.1 for 10 %.
        repeats: how many sessions.
        seed: of all draws.
        plan: for as many runs as it takes; None for all at once.
    """
    rng, tally = np.random.default_rng(seed), Tally()
    for _ in range(repeats):
        evidence = gather(QuietServer(), lambda number: 1 + by if slow[number] else 1.0, rng)
        reports, failed, used = judge_session(evidence, plan)
        tally.add(reports, failed, slow, used)
    return tally


def scenarios() -> dict[str, tuple[Gather, StoppingPlan | None]]:
    """What is compared with what."""
    return {
        "baseline of 5 sessions": (stored(5, 1, 5), None),
        "baselines of two versions, 5 sessions each": (stored(5, 1, 5, baselines=2), None),
        "baseline of 5 runs of one session": (stored(1, 5, 5), None),
        "5 sessions, the candidate's is slow": (stored(5, 1, 5, slow_session=True), None),
        "one session, the candidate's is slow": (stored(1, 5, 5, slow_session=True), None),
        "5 sessions, the candidate's is slow for some cases": (stored(5, 1, 5, slow_session=True, unalike=True), None),
        "5 sessions, no probes": (stored(5, 1, 5, probes=False), None),
        "5 sessions, no probes, the candidate's is slow": (stored(5, 1, 5, slow_session=True, probes=False), None),
        "side by side 5 + 5": (side_by_side(5), None),
        "side by side, 3 to 10 runs": (side_by_side(10), StoppingPlan(first=3, most=10)),
    }


def which_slow() -> dict[str, list[bool]]:
    """Which of the cases are slower."""
    count = len(CASES)
    return {
        "none": [False] * count,
        "one": [number == count // 2 for number in range(count)],
        "half": [number % 2 == 0 for number in range(count)],
        "all": [True] * count,
    }


def lines(repeats: int, by: float, seed: int, only: str) -> Iterator[str]:
    """The table, line by line."""
    yield "| compared | falsely, without change (95 %) | falsely, others | found: one / half / all | missed | runs |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, (gather, plan) in scenarios().items():
        if only not in name:
            continue
        none, *changed = (
            simulate(gather, slow, by, max(repeats // 10, 1) if any(slow) else repeats, seed, plan)
            for slow in which_slow().values()
        )
        low, high = binomtest(none.falsely, none.sessions).proportion_ci(0.95, method="exact")
        found = " / ".join(f"{one.slower[VerdictKind.REGRESSED] / one.slower.total():.0%}" for one in changed)
        missed = sum(one.slower[VerdictKind.UNCHANGED] for one in changed)
        runs = sum(one.runs for one in (none, *changed)) / sum(one.sessions for one in (none, *changed)) / len(CASES)
        yield (
            f"| {name} | {none.falsely} of {none.sessions} ({low:.1%} to {high:.1%}) | "
            f"{sum(one.falsely for one in changed)} of {sum(one.sessions for one in changed)} | {found} | "
            f"{missed} of {sum(one.slower.total() for one in changed)} | {runs:.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--repeats", type=int, default=1000, help="sessions without change (default: 1000); a tenth with"
    )
    parser.add_argument("--slowdown", type=float, default=0.1, help="of the slower cases (default: 0.1)")
    parser.add_argument("--seed", type=int, default=30, help="of all draws (default: 30)")
    parser.add_argument("--only", default="", help="what is compared, or a part of its name")
    arguments = parser.parse_args()
    for line in lines(arguments.repeats, arguments.slowdown, arguments.seed, arguments.only):
        print(line, flush=True)


if __name__ == "__main__":
    main()
