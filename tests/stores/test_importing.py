from __future__ import annotations

import collections
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.importing import (
    Circumstances,
    add_imported,
    import_pytest_benchmark,
    import_run_generation,
)
from gaudi_perf.stores.optimum_habana import import_optimum_habana
from gaudi_perf.stores.resolution import resolve
from gaudi_perf.vocabulary.configuration import case_id_in
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.gaudi_options import GaudiOptions
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import DTYPES
from tests.stores.factories import make_run

STACK = Stack(kind="synapse", version="1.18.0")
CIRCUMSTANCES = Circumstances(device=Device(name="gaudi2", accelerator="hpu"), stack=STACK, measured_on="2026-01-31")
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
DAY = "2026-01-31"
CASE = "bloomz7b-1x-graphs-kvcache"


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
        ("gaudi2", "qwen2-7b-1x-graphs-kvcache-b256"): pytest.approx(256 * 100 / 8870.9),
        ("gaudi3", "bloomz7b-1x-graphs-kvcache"): pytest.approx(0.643943, rel=1e-4),
    }
    gaudi3, others = imported.passed_over
    assert "bloomz-8-1] on gaudi3: no throughput" in gaudi3
    assert others.startswith("1 test of ") and others.endswith(" without text generation")
    store = BaselineStore(tmp_path / "baselines")
    assert len(add_imported(store, imported.baselines)) == 3
    run = make_run(0.8, version="1.18.0")
    (match,) = resolve(store, run).matches
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
    with pytest.raises(
        UserError, match=r"gaudi2/synapse-1.18.0.json: bloomz7b-1x-.* at 0.768951006 s, .* says 0.909090909 s"
    ):
        add_imported(store, other)
    assert {path: path.read_bytes() for path in store.directory.rglob("*.json")} == before


def test_results_of_run_generation(tmp_path: Path) -> None:
    file = written(tmp_path / "results.json", {"throughput": 50.0, "output": ["DeepSpeed is"], "input": "DeepSpeed"})
    circumstances = said(new_tokens=100, batch_size=2)
    (baseline,) = import_run_generation(file, "bloomz7b-1x-graphs-kvcache", circumstances).baselines
    assert baseline.cases[0].level_s == 4.0
    assert import_run_generation(file, f"{CASE}-b2", CIRCUMSTANCES).baselines == [baseline]
    add_imported(BaselineStore(tmp_path / "baselines"), [baseline])


@pytest.mark.parametrize(
    ("case_id", "why"),
    [
        ("bloomz9b-1x-graphs-kvcache", "unknown model 'bloomz9b'"),
        (f"{CASE}-b4", "says batch size 4, and --batch-size says 2"),
        (f"{CASE}-batch4", "is no case id"),
        (f"{CASE}-b{'9' * 5000}", "is no case id"),
        ("a" * 100_000, "is no case id"),
        ("", "is no case id"),
    ],
)
def test_cases_of_run_generation_that_are_refused(tmp_path: Path, case_id: str, why: str) -> None:
    file = written(tmp_path / "results.json", {"throughput": 50.0})
    with pytest.raises(UserError, match=why):
        import_run_generation(file, case_id, said(batch_size=2))


def said(**options: object) -> Circumstances:
    return dataclasses.replace(CIRCUMSTANCES, said=options)


CAUSAL = "use_flash_attention,flash_attention_causal_mask"
FLASH = "use_flash_attention,flash_attention_recompute,flash_attention_causal_mask"
MIXTRAL = "reuse_cache,trim_logits,bucket_size=128,bucket_internal"
TENSOR_PARALLEL = (
    "trim_logits,attn_softmax_bf16,use_flash_attention,flash_attention_recompute,bucket_size=128,bucket_internal"
)
THREE = "tests/test_text_generation_example.py::test_text_generation_bf16_1x[bigscience/bloomz-7b1-1-False-False-False]"


def test_ids_with_three_booleans_and_the_siblings_that_hold_texts(tmp_path: Path) -> None:
    text = {
        "tests/test_functional.py::test_text_generation_bf16_1x[bigscience/bloomz-7b1-1-False-True]": {"output": ""}
    }
    summary = {"tests/test_examples.py::test_run_summarization": {"output": "some text"}}
    written(tmp_path / "a.json", {THREE: {"gaudi2": {"throughput": 130.0}}})
    written(tmp_path / "b.json", {**text, **summary})
    imported = import_optimum_habana(tmp_path, STACK, "2025-09-09")
    assert [case.id for baseline in imported.baselines for case in baseline.cases] == ["bloomz7b-1x-graphs-kvcache"]
    assert [clause.partition(" on output")[1] for clause in imported.passed_over] == [" on output", ""]
    assert imported.passed_over[1].startswith("1 test of ")


@pytest.mark.parametrize(
    ("test", "why"),
    [
        (THREE.replace("False]", "True]"), "with flex attention"),
        (THREE.replace("False]", "False-False]"), "parameters are not understood"),
        (THREE.replace("-1-", "-0-"), "parameters are not understood"),
        (THREE.replace("-1-", f"-{'9' * 300}-"), "parameters are not understood"),
        (THREE.replace("-1-", f"-{'9' * 5000}-"), "name is too long"),
        (THREE.replace("bloomz-7b1", "b" * 100_000), "name is too long"),
        (THREE.replace("bf16_1x", "int4"), "tests of the kind 'int4' are not imported"),
        (THREE.replace("bf16_1x", "awq"), r"weights of 4 bits (AWQ)"),
        (THREE.replace("bf16_1x", "deepspeed"), "parameters are not understood"),
    ],
)
def test_every_id_that_is_not_understood_is_named(tmp_path: Path, test: str, why: str) -> None:
    imported = import_optimum_habana(written(tmp_path / "a.json", {test: {"gaudi2": {"throughput": 1.0}}}), STACK, DAY)
    (clause,) = imported.passed_over
    assert imported.baselines == [] and why in clause and test[:80] in clause and len(clause) < 300


def test_two_ids_of_one_case(tmp_path: Path) -> None:
    levels = {"gaudi2": {"throughput": 130.0}}, {"gaudi2": {"throughput": 100.0}}
    file = written(tmp_path / "a.json", {THREE: levels[0], THREE.replace("False-False-", "False-True-"): levels[1]})
    imported = import_optimum_habana(file, STACK, DAY)
    assert imported.baselines[0].cases[0].level_s == pytest.approx(100 / 130)
    assert (
        len(imported.passed_over) == 1
        and "is bloomz7b-1x-graphs-kvcache, too, which was imported" in imported.passed_over[0]
    )


def test_every_id_of_its_last_commit() -> None:
    """All 104 ids (January 2026), with throughputs of ours: 10 tokens per second more for each."""
    imported = import_optimum_habana(Path(__file__).parents[1] / "data" / "optimum_habana.json", STACK, DAY)
    reasons = collections.Counter(clause.rpartition("]")[2].lstrip(": ") for clause in imported.passed_over)
    fp8 = 0 if "fp8" in DTYPES else 18
    assert (
        reasons
        == collections.Counter(
            {
                "it is with flex attention, which this suite does not measure": 13,
                "it is in fp8, which this suite does not measure": fp8,
                "weights of 4 bits (AWQ), which this suite does not measure": 1,
                "weights of 4 bits (GPTQ), which this suite does not measure": 1,
                "weights of 4 bits (bitsandbytes), which this suite does not measure": 2,
                "on gaudi2: no throughput of a device that is known": 1,
            }
        )
        - collections.Counter()
    )
    levels = {(b.device.name, case.id, case.case.options): case for b in imported.baselines for case in b.cases}
    assert len(levels) == 131 + (0 if fp8 else 36)
    assert collections.Counter(device for device, *_ in levels) == {
        "gaudi": 18,
        "gaudi2": 56 + (0 if fp8 else 18),
        "gaudi3": 57 + (0 if fp8 else 18),
    }


@pytest.mark.parametrize(
    ("kind", "parameters", "throughput", "case_id", "seconds"),
    [
        ("torch_compile", "meta-llama/Llama-2-7b-hf", 102.278, "llama-2-7b-hf-1x-compile-kvcache", 100 / 102.278),
        ("torch_compile_distributed", "a/b", 39.73, "b-8x-compile-kvcache", 100 / 39.73),
        (
            "distributed_tp",
            "meta-llama/Llama-2-7b-hf",
            1345.24,
            "llama-2-7b-hf-8x-compile-kvcache-b220-p2048",
            220 * 100 / 1345.24,
        ),
        ("contrastive_search", "gpt2-xl-2-False", 51.6, "gpt2-xl-1x-graphs-kvcache-b2-contrastive0.5k4", 200 / 51.6),
        ("beam_search", "Qwen/Qwen2-7b-Instruct-1-True", 86.0, "qwen2-7b-instruct-1x-graphs-kvcache-beams3", 100 / 86),
        ("deepspeed", "facebook/opt-66b-2-1", 28.5, "opt-66b-2x-graphs-kvcache", 100 / 28.5),
        (
            "bf16_1x",
            "bigcode/starcoder-256-True-True",
            6846.6,
            "starcoder-1x-graphs-kvcache-b256-prompt0e552d68",
            3.739,
        ),
    ],
)
def test_tokens_per_second_become_the_duration_of_a_batch(
    tmp_path: Path, kind: str, parameters: str, throughput: float, case_id: str, seconds: float
) -> None:
    test = f"tests/test_text_generation_example.py::test_text_generation_{kind}[{parameters}]"
    file = written(tmp_path / "a.json", {test: {"gaudi2": {"throughput": throughput}}})
    (baseline,) = import_optimum_habana(file, STACK, DAY).baselines
    assert {case.id: case.level_s for case in baseline.cases} == pytest.approx({case_id: seconds}, rel=1e-3)


def test_a_published_level_of_a_model_that_the_catalogue_lacks_is_compared_by_its_name(tmp_path: Path) -> None:
    test = "tests/test_x.py::test_text_generation_bf16_1x[Qwen/Qwen9-8B-1-True-False]"
    options = GaudiOptions(reuse_cache=True)
    file = written(tmp_path / "a.json", {test: {"gaudi2": {"throughput": 100.0}}})
    store = BaselineStore(tmp_path / "baselines")
    add_imported(store, import_optimum_habana(file, STACK, DAY).baselines)
    run = make_run(0.8, version="1.18.0")
    configuration = msgspec.structs.replace(run.case.configuration, model="qwen9-8b")
    case = msgspec.structs.replace(run.case, configuration=configuration, architecture="0123456789abcdef")
    resolution = resolve(store, msgspec.structs.replace(run, case=case))
    assert resolution.matches == () and "options '' is not 'reuse_cache'" in str(resolution)
    case = msgspec.structs.replace(case, gaudi_options=options)
    (match,) = resolve(store, msgspec.structs.replace(run, case=case)).matches
    assert match.case.level_s == 1.0


@pytest.mark.parametrize(
    ("kind", "parameters", "options", "note"),
    [
        ("bf16_1x", "meta-llama/Llama-2-7b-hf-512-False-False-False", "trim_logits,attn_softmax_bf16", ""),
        (
            "bf16_1x",
            "tiiuae/falcon-40b-1-True-False",
            "reuse_cache,use_flash_attention,flash_attention_causal_mask",
            "",
        ),
        ("bf16_1x", "tiiuae/falcon-mamba-7b-1-False-False", "", ""),
        ("bf16_1x", "bigcode/starcoder-256-True-True", "use_flash_attention,bucket_size=128,bucket_internal", ""),
        ("bf16_1x", "bigcode/starcoder2-3b-1-False-True", FLASH, ""),
        ("fp8", "mistralai/Mixtral-8x7B-v0.1-1-1-True-128-128", MIXTRAL, ""),
        ("fp8", "mistralai/Mixtral-8x7B-v0.1-2-768-True-128-128", f"{MIXTRAL},limit_hpu_graphs", ""),
        ("distributed_tp", "meta-llama/Llama-2-7b-hf", TENSOR_PARALLEL, "with parallel_strategy=tp"),
        ("beam_search", "Qwen/Qwen2-7b-Instruct-1-True", "reuse_cache,bucket_size=64,bucket_internal", ""),
    ],
)
def test_options_of_a_model_are_those_that_its_test_gives_the_script(
    tmp_path: Path, kind: str, parameters: str, options: str, note: str
) -> None:
    test = f"tests/test_text_generation_example.py::test_text_generation_{kind}[{parameters}]"
    file = written(tmp_path / "a.json", {test: {"gaudi2": {"throughput": 100.0}}})
    ((entry,),) = [baseline.cases for baseline in import_optimum_habana(file, STACK, DAY).baselines]
    assert entry.case.options == options
    assert entry.published is not None and entry.published.note.endswith(f"included{'; ' * bool(note)}{note}")


def test_what_differs_in_the_day_alone_is_there_already(tmp_path: Path) -> None:
    file = written(tmp_path / "a.json", {THREE: {"gaudi2": {"throughput": 130.0}}})
    store = BaselineStore(tmp_path / "baselines")
    add_imported(store, import_optimum_habana(file, STACK, "2025-09-09").baselines)
    assert add_imported(store, import_optimum_habana(file, STACK, "2025-09-10").baselines) == []


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
    assert imported.passed_over == ["test_generation[else]: its name has no case id, and nothing else, in brackets"]
    add_imported(BaselineStore(tmp_path / "baselines"), imported.baselines)
    assert list(BaselineStore(tmp_path / "baselines").problems()) == []


@pytest.mark.parametrize(
    ("name", "case_id"),
    [
        ("test_generation[bloomz7b-8x-graphs-kvcache]", "bloomz7b-8x-graphs-kvcache"),
        ("perf_tests/test_x.py::test[bloomz176b-16x-eager-nocache-b4-n256]", "bloomz176b-16x-eager-nocache-b4-n256"),
        ("bloomz7b-8x-graphs-kvcache", "bloomz7b-8x-graphs-kvcache"),
        ("test_generation[bloomz7b-1x-graphs-kvcache-batch4]", ""),
        # Names of models have hyphens; whether there is such a model is asked of the catalogue.
        ("test_generation[batch4-bloomz7b-1x-graphs-kvcache]", "batch4-bloomz7b-1x-graphs-kvcache"),
        ("test_generation[bloomz7b-0x-graphs-kvcache]", ""),
        (f"test_generation[bloomz7b-1x-graphs-kvcache-b{'9' * 5000}]", ""),
        ("a" * 100_000, ""),
        ("[" * 100_000, ""),
        ("test_generation", ""),
    ],
)
def test_the_case_in_a_tests_name(name: str, case_id: str) -> None:
    assert case_id_in(name) == case_id


def benchmark_file(path: Path, *benchmarks: tuple[str, dict[str, object]], at: str = "2026-01-31T12:00:00") -> Path:
    entries = [{"name": name, "stats": {"data": [1.0, 2.0, 3.0]}, "extra_info": extra} for name, extra in benchmarks]
    return written(path / "b.json", {"benchmarks": entries, "machine_info": {}, "datetime": at})


def test_the_workload_in_a_case_id(tmp_path: Path) -> None:
    file = benchmark_file(
        tmp_path,
        ("test[bloomz7b-1x-graphs-kvcache-fp32-b4-n256]", {}),
        ("test[bloomz7b-1x-graphs-kvcache-prompt1a2b3c4d]", {}),
        ("test[bloomz9b-1x-graphs-kvcache]", {}),
    )
    imported = import_pytest_benchmark(file, said(batch_size=4))
    ((case,),) = [baseline.cases for baseline in imported.baselines]
    workload = case.case.workload
    assert (case.id, workload.dtype, workload.batch_size) == ("bloomz7b-1x-graphs-kvcache-fp32-b4-n256", "float32", 4)
    assert ["its prompt is not known" in imported.passed_over[0], "no model 'bloomz9b'" in imported.passed_over[1]]
    with pytest.raises(UserError, match=r"says batch size 4, and --batch-size says 1"):
        import_pytest_benchmark(file, said(batch_size=1))


OWN: dict[str, object] = {
    "case": "bloomz7b-1x-graphs-kvcache-n2",
    **{"scale": "standin", "weights": "dummy", "dtype": "bfloat16", "new_tokens": 2, "device": "cpu"},
    **{"stack": "torch-2.13.0", "runs": ["one", "two"], "rounds": [1, 2], "not_usable": ["", ""], "session": "s"},
}
ON_CPU = Circumstances(Device(name="cpu", accelerator="cpu"), Stack(kind="torch", version="2.13.0"))


def test_the_suites_own_benchmarks_say_what_they_are_of(tmp_path: Path) -> None:
    file = benchmark_file(tmp_path, ("test[one]", OWN))
    ((case,),) = [baseline.cases for baseline in import_pytest_benchmark(file, ON_CPU).baselines]
    assert (case.case.scale, case.case.weights, case.id) == ("standin", "dummy", "bloomz7b-1x-graphs-kvcache-n2")
    assert [(run.run_id, run.session_id, run.measurement.latencies_s) for run in case.runs] == [
        ("one", "s", [1.0]),
        ("two", "s", [2.0, 3.0]),
    ]


@pytest.mark.parametrize(
    ("circumstances", "what"),
    [
        (CIRCUMSTANCES, "scale|device 'cpu', and --device says 'gaudi2'"),
        (dataclasses.replace(ON_CPU, stack=Stack(kind="torch", version="2.12.0")), "stack 'torch-2.13.0', and --stack"),
        (dataclasses.replace(ON_CPU, said={"scale": "full"}), "scale 'standin', and --scale says 'full'"),
        (dataclasses.replace(ON_CPU, said={"weights": "hub"}), "weights 'dummy', and --weights says 'hub'"),
        (dataclasses.replace(ON_CPU, said={"new_tokens": 100}), "new tokens 2, and --new-tokens says 100"),
    ],
)
def test_options_that_contradict_the_file_are_refused(tmp_path: Path, circumstances: Circumstances, what: str) -> None:
    with pytest.raises(UserError, match=what):
        import_pytest_benchmark(benchmark_file(tmp_path, ("test[one]", OWN)), circumstances)


def test_options_of_gaudi_that_are_none_are_refused_in_a_sentence(tmp_path: Path) -> None:
    on_gaudi = {**OWN, "device": "gaudi2", "stack": "synapse-1.18.0", "gaudi_options": "reuse_everything"}
    with pytest.raises(UserError, match="gaudi_options: it takes NAME"):
        import_pytest_benchmark(benchmark_file(tmp_path, ("test[one]", on_gaudi)), CIRCUMSTANCES)


@pytest.mark.parametrize(
    ("fields", "runs", "why"),
    [
        ({"rounds": []}, [], "does not say which are whose"),
        ({"rounds": [], "runs": ["one"]}, ["one"], ""),
        ({"not_usable": ["is INVALID (throttled)", ""]}, ["two"], "run one is INVALID (throttled)"),
        ({"rounds": [2, 2]}, [], "does not say which are whose"),
        ({"case": "bloomz9b-1x-graphs-kvcache"}, [], "no model 'bloomz9b'"),
    ],
)
def test_which_rounds_are_whose(tmp_path: Path, fields: dict[str, object], runs: list[str], why: str) -> None:
    imported = import_pytest_benchmark(benchmark_file(tmp_path, ("test[one]", {**OWN, **fields})), ON_CPU)
    cases = [case for baseline in imported.baselines for case in baseline.cases]
    assert [run.run_id for case in cases for run in case.runs] == runs
    assert why in "\n".join(imported.passed_over)


@pytest.mark.parametrize(
    ("written_at", "utc"),
    [
        ("2026-01-31T12:00:00.123456", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00.123456+00:00", "2026-01-31T12:00:00Z"),
        ("2026-02-01T05:00:00+09:00", "2026-01-31T20:00:00Z"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
    ],
)
def test_times_with_an_offset(tmp_path: Path, written_at: str, utc: str) -> None:
    file = benchmark_file(tmp_path, ("bloomz7b-1x-graphs-kvcache", {}), at=written_at)
    assert import_pytest_benchmark(file, CIRCUMSTANCES).baselines[0].cases[0].runs[0].started_at == utc


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "a.json: not a valid"),
        ("[]", "a.json: not a valid"),
        ('{"a": {},\n"a": {}}', r"a.json: .* line 2: the key 'a' stands on line 1 already"),
        ('{"a": {},\n<<<<<<< ours\n"b": {}}', r"a.json: .* line 2 is a conflict marker of a merge \(<<<<<<<\)"),
    ],
)
def test_malformed_fixtures_are_one_sentence(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        import_optimum_habana(written(tmp_path / "a.json", content), STACK, "2026-01-31")


@pytest.mark.parametrize(
    "content", ["", "[]", {"throughput": "fast"}, {"throughput": -1}, {"throughput": 1e-320}, {"output": ""}]
)
def test_malformed_results_are_one_sentence(tmp_path: Path, content: object) -> None:
    with pytest.raises(UserError, match=r"results.json: .*"):
        import_run_generation(written(tmp_path / "results.json", content), CASE, CIRCUMSTANCES)


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
    for day in ("today", "2026-99-99", "2026-02-31", "2" * 100_000):
        with pytest.raises(UserError, match=r"--day: '.{4,80}' is not a day"):
            import_optimum_habana(written(tmp_path / "a.json", {}), STACK, day)
