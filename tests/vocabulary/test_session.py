"""Documents of sessions: those of the first version, which held sentences, are still read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gaudi_perf.reports.terminal import verdict_message
from gaudi_perf.reports.wording import advice, error_rate, reason
from gaudi_perf.vocabulary.documents import encode
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.verdict import (
    LearnedNoise,
    Reason,
    SharedErrorRate,
    StopReason,
    VerdictKind,
    decode_session,
)
from tests.stores.factories import make_run

CASE = {
    "configuration": {"model": "bloomz7b", "devices": 1, "graphs": True, "kv_cache": True},
    "accelerator": "hpu",
    "workload": {},
    "scale": "full",
}
WHY = (
    "8.0% slower, and certainly slower (5 runs against 5 runs; runs lie 0.3% apart); no more runs: the verdict is clear"
)
FIRST: dict[str, Any] = {
    "schema": "gaudi-perf/session/1",
    "session_id": "s",
    "started_at": "2026-01-31T12:00:00Z",
    "ended_at": "2026-01-31T12:01:00Z",
    "family": "one false-alarm rate over the 8 cases: if nothing changed, the chance of any false REGRESSED is at most 1%",  # noqa: E501
    "cases": [
        {
            "case": CASE,
            "run_ids": ["r"],
            "verdicts": [
                {
                    "kind": "REGRESSED",
                    "reason": WHY,
                    "role": "release",
                    "baseline": "gaudi2/synapse-1.21.0",
                    "ratio": 1.08,
                    "low": 1.05,
                    "high": 1.11,
                    "advice": "Look at what changed.",
                    "stop": "the verdict is clear",
                    "learned_noise": {"runs": 60, "nights": 30, "run": 0.003, "night": 0.01},
                }
            ],
            "others": [{"kind": "NO BASELINE", "reason": "there are no baselines", "metric": "memory"}],
        }
    ],
}


def test_sentences_of_the_first_version_are_shown_as_they_are() -> None:
    session = decode_session(json.dumps(FIRST), "session.json")
    (report,) = session.cases
    (verdict,), (other,) = report.verdicts, report.others
    assert (reason(verdict), advice(verdict)) == (WHY, "Look at what changed.")
    assert (verdict.kind, verdict.stop, other.reason) == (
        VerdictKind.REGRESSED,
        StopReason.CLEAR,
        Reason.NO_BASELINE,
    )
    assert verdict.learned_noise == LearnedNoise(runs=60, sessions=30, run=0.003, session=0.01)
    assert session.error_rate == SharedErrorRate(cases=8, rate=0.01)
    assert error_rate(session).startswith("8 cases: ")
    message = verdict_message(report.case, [make_run()], report.verdicts)
    assert "REGRESSED, 8.0 % slower [+5.0 %, +11.0 %] than gaudi2/synapse-1.21.0" in message and WHY in message
    assert decode_session(encode(session), "session.json") == session, "it is written as one of this version"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "gaudi-perf/session/3"}, "gaudi-perf/session/3"),
        ({"cases": [{"case": CASE, "verdicts": [{"kind": "REGRESSED"}]}]}, "reason"),
        ({"cases": [{"case": CASE, "verdicts": [{"kind": "WORSE", "reason": "x"}]}]}, "WORSE"),
        ({"cases": 5}, "session.json"),
        ({"cases": [7]}, "session.json"),
        ({"cases": [{"verdicts": 7}]}, "session.json"),
        ({"cases": [{"case": CASE, "verdicts": [[]]}]}, "session.json"),
        ({"family": 7}, "session.json"),
        ({"unknown": 7}, "unknown"),
    ],
)
def test_what_is_no_session_is_one_sentence(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        decode_session(json.dumps({**FIRST, **change}), "session.json")
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000, b"\xff"])
def test_what_is_no_document_is_one_sentence(text: str | bytes) -> None:
    with pytest.raises(UserError, match="not a valid session document"):
        decode_session(text, "session.json")
