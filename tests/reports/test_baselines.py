"""Two sides case by case: one number for one comparison."""

from __future__ import annotations

from gaudi_perf.reports.baselines import Pair, comparison
from gaudi_perf.vocabulary.baseline import CaseBaseline, Entry
from gaudi_perf.vocabulary.verdict import VerdictKind
from tests.stores.factories import make_run
from tests.vocabulary.factories import verdict_saying


def entry(level: float) -> Entry:
    run = make_run(level)
    return Entry("gaudi2/synapse-1.22.0", run.device, run.stack, CaseBaseline.of([run]))


def test_the_number_of_a_comparison_is_its_estimate() -> None:
    judged = verdict_saying(VerdictKind.REGRESSED, ratio=1.134, low=1.1, high=1.17)
    pair = Pair(entry(1.119), entry(1.0), judged=judged)
    words = comparison([pair], [], "A against B")
    assert list(words.columns)[1:4] == ["median A", "median B", "change"]
    assert list(words.rows[0])[1:5] == ["1.12 s", "1.00 s", "13.4 % slower", "[+10.0 %, +17.0 %]"]
    (why,) = (note for note in words.notes if "medians" in note)
    assert why.startswith("the change is an estimate, not the ratio of the medians: ")


def test_published_numbers_have_a_ratio_alone() -> None:
    words = comparison([Pair(entry(1.2), entry(1.0))], [], "A against B")
    assert list(words.columns)[1:4] == ["A", "B", "change"]
    assert list(words.rows[0])[3] == "20.0 % slower" and not any("medians" in note for note in words.notes)
