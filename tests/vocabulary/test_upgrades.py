"""Documents that earlier releases wrote are still read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gaudi_perf.vocabulary.baseline import decode_baseline, encode_baseline
from gaudi_perf.vocabulary.errors import UserError

EARLIER = Path(__file__).parents[1] / "data" / "baselines_1"
STORED = Path(__file__).parents[2] / "baselines"

MEASURED = {
    "schema": "gaudi-perf/baseline/1",
    "device": {"name": "cpu", "accelerator": "cpu"},
    "stack": {"kind": "torch", "version": "2.13.0", "components": {"python": "3.11"}},
    "cases": [
        {
            "configuration": {"model": "bloomz7b", "devices": 1, "graphs": True, "kv_cache": True},
            "workload": {"new_tokens": 4},
            "scale": "standin",
            "weights": "dummy",
            "host_class": "2 hosts of AMD EPYC, 9 series, 2 cores",
            "provenance": "measured",
            "runs": [
                {
                    "run_id": f"20260131T120000.000000Z-1a2b3c4d-0000000{number}",
                    "measured_at": "2026-01-31T12:00:00Z",
                    "latencies_s": [level, level, level],
                    "probes_s": [0.1, 0.1, 0.1],
                    "first_token_s": [0.25],
                    "per_output_token_s": [0.125],
                    "peak_memory_bytes": 1000,
                    "graph_compilation_s": 2.5,
                    "earlier_cases": ["bloomz7b-1x-eager-kvcache"],
                }
                for number, level in enumerate((1.0, 1.5, 2.0))
            ],
            "token_ids": [3, 1],
            "anchor": {"latency_s": 1.0, "accepted_on": "2026-01-30", "stack": "torch-2.12.0"},
            "accepted_regressions": [{"accepted_on": "2026-01-31", "ratio": 1.5, "reason": "more work"}],
        }
    ],
}


@pytest.mark.parametrize("path", sorted(EARLIER.glob("*/*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_stored_baselines_of_the_first_release_are_those_of_today(path: Path) -> None:
    earlier = decode_baseline(path.read_bytes(), str(path))
    today = STORED / path.parent.name / path.name
    assert encode_baseline(earlier) == today.read_bytes()


def test_runs_of_an_earlier_release() -> None:
    baseline = decode_baseline(json.dumps(MEASURED).encode(), "x")
    (entry,) = baseline.cases
    assert entry.level_s == 1.5 and entry.id == "bloomz7b-1x-graphs-kvcache-n4"
    assert entry.host_class == "2 hosts of AMD EPYC, 9 series, 2 cores"
    run = entry.runs[1]
    assert run.session_id == "20260131T120000.000000Z-1a2b3c4d", "which its name begins with"
    assert run.device == baseline.device and run.stack == baseline.stack and run.steady and run.valid
    values = [run.values(metric) for metric in ("latency", "first-token", "per-token", "compilation", "memory")]
    assert values == [[1.5] * 3, [0.25], [0.125], [2.5], [1000.0]]
    assert run.measurement.probes_s == [0.1] * 3
    assert run.measurement.earlier_cases == ["bloomz7b-1x-eager-kvcache"]
    assert entry.anchor is not None and entry.accepted_regressions[0].reason == "more work"
    assert decode_baseline(encode_baseline(baseline), "x") == baseline


def test_a_run_without_a_session_in_its_name_belongs_to_its_day_and_hosts_may_be_unknown() -> None:
    tree = json.loads(json.dumps(MEASURED))
    del tree["cases"][0]["host_class"]
    tree["cases"][0]["runs"] = [{"run_id": "a", "measured_at": "2026-01-31T12:00:00Z", "latencies_s": [1.0]}]
    (entry,) = decode_baseline(json.dumps(tree).encode(), "x").cases
    assert entry.runs[0].session_id == "2026-01-31" and entry.host_class == ""


@pytest.mark.parametrize("lacking", ["workload", "configuration", "scale"])
def test_what_is_malformed_gives_a_sentence(lacking: str) -> None:
    tree = json.loads(json.dumps(MEASURED))
    del tree["cases"][0][lacking]
    with pytest.raises(UserError, match=f"x: not a valid baseline document: .*{lacking}"):
        decode_baseline(json.dumps(tree).encode(), "x")


@pytest.mark.parametrize("cases", [7, [7], {"a": 1}, None])
def test_a_field_of_another_type_gives_a_sentence(cases: object) -> None:
    with pytest.raises(UserError, match=r"has a field of another type$"):
        decode_baseline(json.dumps({**MEASURED, "cases": cases}).encode(), "x")
