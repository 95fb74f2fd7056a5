from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.importing import (
    Circumstances,
    add_imported,
    configuration_in,
    import_optimum_habana,
    import_pytest_benchmark,
    import_run_generation,
)
from gaudi_perf.vocabulary.configuration import Configuration
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import Workload
from tests.stores.factories import make_run

STACK = Stack(kind="synapse", version="1.18.0")
CIRCUMSTANCES = Circumstances(
    device=Device(name="gaudi2", accelerator="hpu"), stack=STACK, workload=Workload(), measured_on="2026-01-31"
)
# The shape of optimum-habana's tests/baselines/fixture/tests/test_text_generation_example.json, and its numbers.
FIXTURE = {
    "tests/test_text_generation_example.py::test_text_generation_bf16_1x[bigscience/bloomz-7b1-1-False-False]": {
        "gaudi1": {"throughput": 41.7555095197846},
        "gaudi2": {"throughput": 130.0472971205316},
        "gaudi3": {"throughput": 155.29323724597498},
    },
    "tests/test_text_generation_example.py::test_text_generation_deepspeed[bigscience/bloomz-7b1-8-1]": {
        "gaudi1": {"throughput": 31.994268212011505}
    },
    "tests/test_text_generation_example.py::test_text_generation_deepspeed[bigscience/bloomz-8-1]": {
        "gaudi2": {"throughput": 36.77314954096159},
        "gaudi3": {"throughput": 0, "output": "Baseline to set"},
    },
    "tests/test_text_generation_example.py::test_text_generation_bf16_1x[Qwen/Qwen2-7B-256-False-True]": {
        "gaudi2": {"output": "DeepSpeed is a machine learning framework", "throughput": 8870.9}
    },
    "tests/test_examples.py::MultiCardSummarization::test_run_summarization": {"gaudi2": {"eval_rougeLsum": 29.3}},
}
TEST = next(iter(FIXTURE))


def written(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_optimum_habanas_own_baselines(tmp_path: Path) -> None:
    directory = tmp_path / "fixture"
    written(directory / "tests" / "test_text_generation_example.json", FIXTURE)
    imported = import_optimum_habana(directory, STACK, "2025-06-30")
    levels = {(b.device.name, case.id): case.level_s for b in imported.baselines for case in b.cases}
    assert levels == {
        ("gaudi", "bloomz7b-1x-graphs-kvcache"): pytest.approx(2.39489, rel=1e-4),
        ("gaudi", "bloomz7b-8x-graphs-kvcache"): pytest.approx(3.12556, rel=1e-4),
        ("gaudi2", "bloomz176b-8x-graphs-kvcache"): pytest.approx(2.71937, rel=1e-4),
        ("gaudi2", "bloomz7b-1x-graphs-kvcache"): pytest.approx(0.768951, rel=1e-4),
        ("gaudi3", "bloomz7b-1x-graphs-kvcache"): pytest.approx(0.643943, rel=1e-4),
    }
    assert len(imported.passed_over) == 1
    assert "bloomz-8-1] on gaudi3" in imported.passed_over[0]
    store = BaselineStore(tmp_path / "baselines")
    assert len(add_imported(store, imported.baselines)) == 3
    run = make_run(0.8, version="1.18.0")
    (match,) = store.resolve(run).matches
    assert match.case.published is not None
    assert "130.047 tokens per second" in match.case.published.note


def test_importing_again_changes_nothing_and_other_numbers_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "a.json", FIXTURE)
    store = BaselineStore(tmp_path / "baselines")
    imported = import_optimum_habana(file, STACK, "2025-06-30").baselines
    add_imported(store, imported)
    before = {path: path.read_bytes() for path in store.directory.rglob("*.json")}
    assert add_imported(store, imported) == []
    text = json.dumps(FIXTURE).replace("130.0472971205316", "110.0")
    other = import_optimum_habana(written(tmp_path / "a.json", text), STACK, "2025-06-30").baselines
    with pytest.raises(UserError, match=r"gaudi2/synapse-1.18.0.json: bloomz7b-1x-.* at 0.769 s, .* says 0.9091 s"):
        add_imported(store, other)
    assert {path: path.read_bytes() for path in store.directory.rglob("*.json")} == before


def test_results_of_run_generation(tmp_path: Path) -> None:
    file = written(tmp_path / "results.json", {"throughput": 50.0, "output": ["DeepSpeed is"], "input": "DeepSpeed"})
    configuration = Configuration(model="bloomz7b", devices=1, graphs=True, kv_cache=True)
    circumstances = replace_workload(new_tokens=100, batch_size=2)
    (baseline,) = import_run_generation(file, configuration, circumstances).baselines
    assert baseline.cases[0].level_s == 4.0
    add_imported(BaselineStore(tmp_path / "baselines"), [baseline])


def replace_workload(**fields: int) -> Circumstances:
    return Circumstances(
        device=CIRCUMSTANCES.device,
        stack=STACK,
        workload=replace(CIRCUMSTANCES.workload, **fields),
        measured_on="2026-01-31",
    )


def test_a_file_that_pytest_benchmark_wrote(tmp_path: Path) -> None:
    written(
        tmp_path / "test_it.py",
        """
import pytest
@pytest.mark.parametrize("case", ["bloomz7b-1x-eager-kvcache", "bloomz7b-8x-graphs-nocache", "else"])
def test_generation(case, benchmark):
    benchmark.pedantic(sum, args=([1, 2],), rounds=7)
""",
    )
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-json=b.json", "test_it.py"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=120,
    )
    imported = import_pytest_benchmark(tmp_path / "b.json", CIRCUMSTANCES)
    (baseline,) = imported.baselines
    assert [case.id for case in baseline.cases] == ["bloomz7b-1x-eager-kvcache", "bloomz7b-8x-graphs-nocache"]
    assert [len(case.runs[0].measurement.latencies_s) for case in baseline.cases] == [7, 7]
    assert imported.passed_over == ("test_generation[else]: its name holds no case id",)
    add_imported(BaselineStore(tmp_path / "baselines"), imported.baselines)
    assert list(BaselineStore(tmp_path / "baselines").problems()) == []


@pytest.mark.parametrize(
    ("name", "case_id"),
    [
        ("test_generation[bloomz7b-8x-graphs-kvcache]", "bloomz7b-8x-graphs-kvcache"),
        ("perf_tests/test_x.py::test[cpu-bloomz176b-16x-eager-nocache-1]", "bloomz176b-16x-eager-nocache"),
        ("test_generation[bloomz7b-0x-graphs-kvcache]", None),
        ("test_generation", None),
    ],
)
def test_the_case_in_a_tests_name(name: str, case_id: str | None) -> None:
    configuration = configuration_in(name)
    assert (None if configuration is None else configuration.id) == case_id


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "a.json: not a valid"),
        ("[]", "a.json: not a valid"),
        ({TEST: {"gaudi2": {"throughput": "fast"}}}, r"a.json: throughput of .*bloomz-7b1.* Expected `float`"),
    ],
)
def test_malformed_fixtures_are_one_sentence(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        import_optimum_habana(written(tmp_path / "a.json", content), STACK, "2026-01-31")


@pytest.mark.parametrize("content", ["", "[]", {"throughput": "fast"}, {"throughput": -1}, {"output": ""}])
def test_malformed_results_are_one_sentence(tmp_path: Path, content: object) -> None:
    configuration = Configuration(model="bloomz7b", devices=1, graphs=True, kv_cache=True)
    with pytest.raises(UserError, match=r"results.json: .*"):
        import_run_generation(written(tmp_path / "results.json", content), configuration, CIRCUMSTANCES)


@pytest.mark.parametrize(
    "content",
    [
        "",
        {},
        {"benchmarks": [], "machine_info": {}, "datetime": "yesterday"},
        {"benchmarks": [{"name": "x", "stats": {"data": [-1.0]}}], "machine_info": {}, "datetime": ""},
    ],
)
def test_malformed_benchmarks_are_one_sentence(tmp_path: Path, content: object) -> None:
    with pytest.raises(UserError, match=r"b.json: .*"):
        import_pytest_benchmark(written(tmp_path / "b.json", content), CIRCUMSTANCES)


def test_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file or directory"):
        import_optimum_habana(tmp_path / "none", STACK, "2026-01-31")
    with pytest.raises(UserError, match="'today' is not a day"):
        import_optimum_habana(written(tmp_path / "a.json", {}), STACK, "today")
