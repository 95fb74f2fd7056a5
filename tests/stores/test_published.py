from __future__ import annotations

import json
from pathlib import Path

import pytest

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.vocabulary.baseline import CaseBaseline, encode_baseline
from gaudi_perf.vocabulary.workload import Workload

DIRECTORY = Path(__file__).parents[2] / "baselines"

# https://huggingface.co/blog/habana-gaudi-2-bloom, first revision (SynapseAI 1.8.0 and the preview of 1.9.0) and the
# later one (1.10.0): latencies in seconds.
ARTICLE = {
    ("gaudi2", "synapse-1.8.0"): {
        "bloomz176b-8x-graphs-kvcache": 3.717,
        "bloomz7b-8x-graphs-kvcache": 0.737,
        "bloomz7b-1x-graphs-kvcache": 1.066,
    },
    ("gaudi2", "synapse-1.9.0-preview"): {"bloomz176b-8x-graphs-kvcache": 3.5},
    ("gaudi2", "synapse-1.10.0"): {
        "bloomz176b-8x-graphs-kvcache": 3.103,
        "bloomz7b-8x-graphs-kvcache": 0.734,
        "bloomz7b-1x-graphs-kvcache": 0.772,
    },
    ("gaudi", "synapse-1.8.0"): {"bloomz7b-8x-graphs-kvcache": 3.029, "bloomz7b-1x-graphs-kvcache": 2.865},
    ("gaudi", "synapse-1.10.0"): {"bloomz7b-8x-graphs-kvcache": 3.321, "bloomz7b-1x-graphs-kvcache": 2.387},
    ("a100-80gb", "deepspeed-0.8.2"): {
        "bloomz176b-8x-eager-kvcache": 4.402,
        "bloomz7b-8x-eager-kvcache": 2.417,
        "bloomz7b-1x-eager-kvcache": 2.119,
    },
}


def published(case: CaseBaseline) -> float:
    assert case.provenance == "published"
    assert case.published is not None
    assert case.published.address == "https://huggingface.co/blog/habana-gaudi-2-bloom"
    assert case.published.published_on == "2023-03-28"
    return case.level_s


@pytest.mark.parametrize("place", ARTICLE, ids=lambda place: "-".join(place))
def test_the_published_numbers_are_those_of_the_article(place: tuple[str, str]) -> None:
    baseline = BaselineStore(DIRECTORY).read(*place)
    numbers = {case.id: published(case) for case in baseline.cases if case.provenance == "published"}
    assert numbers == ARTICLE[place]
    for case in baseline.cases:
        assert case.case.workload == Workload(
            prompt="DeepSpeed is a machine learning framework",
            prompt_tokens=7,
            new_tokens=100,
            batch_size=1,
            dtype="bfloat16",
        )
        assert (case.case.scale, case.case.weights, case.host_class) == ("full", "hub", "")


def test_all_of_them_are_there() -> None:
    store = BaselineStore(DIRECTORY)
    assert set(ARTICLE) <= {(place.device, place.stack_name) for place in store.list()}
    assert list(store.problems()) == []


def test_files_are_written_as_a_refresh_would_write_them() -> None:
    store = BaselineStore(DIRECTORY)
    for place in store.list():
        baseline = store.load(place)
        assert encode_baseline(baseline) == place.path.read_bytes(), place.path
        assert [case.key for case in baseline.cases] == sorted(case.key for case in baseline.cases)
        json.loads(place.path.read_text())


def test_the_regression_of_the_article_shows() -> None:
    store = BaselineStore(DIRECTORY)
    older, newer = (
        {case.id: case.level_s for case in store.read("gaudi", f"synapse-{version}").cases}
        for version in ("1.8.0", "1.10.0")
    )
    slower = newer["bloomz7b-8x-graphs-kvcache"] / older["bloomz7b-8x-graphs-kvcache"]
    assert f"{(slower - 1) * 100:.1f}" == "9.6"
    assert newer["bloomz7b-1x-graphs-kvcache"] < older["bloomz7b-1x-graphs-kvcache"]
