"""hpu.metrics, in the bridge's words. PT_HPU_ENABLE_CACHE_METRICS=1 and RANK=0 are set by the caller."""

import json
import os
import tempfile
from pathlib import Path

import habana_frameworks.torch.core as htcore
import habana_frameworks.torch.hpu as hpu
import torch
from habana_frameworks.torch.hpu.metrics import MetricNotFound, metric_global, metric_localcontext, metrics_dump
from helpers import raises

torch.set_num_threads(1)


def numbers(metric):
    return dict(metric.stats())


def work(size):
    htcore.mark_step()
    x = torch.ones(size, device="hpu")
    (x * 2 + 1).relu()
    htcore.mark_step()


def check_a_new_shape_is_compiled_and_a_known_one_is_not():
    with metric_localcontext("graph_compilation") as compiled, metric_localcontext("recipe_cache") as cache:
        work(1001)
    assert numbers(compiled)["TotalNumber"] == 1 == numbers(cache)["TotalMiss"] and numbers(cache)["TotalHit"] == 0
    assert numbers(compiled)["TotalTime"] == 0  # outside graphs
    with metric_localcontext("graph_compilation") as compiled, metric_localcontext("recipe_cache") as cache:
        work(1001)
        assert numbers(compiled)["TotalNumber"] == 0  # may be read inside
    assert numbers(compiled)["TotalNumber"] == 0 == numbers(cache)["TotalMiss"]
    assert numbers(cache)["TotalHit"] == 1 == sum(numbers(cache)["RecipeHit"].values())
    with metric_localcontext("graph_compilation") as compiled:
        work(1002)
    work(1003)  # after the context
    assert numbers(compiled)["TotalNumber"] == 1


def check_another_scalar_or_slice_is_no_compilation_here():
    """On a Gaudi it may be one."""
    x = torch.ones(4001, device="hpu")
    for number, start in ((2.0, 0), (3.0, 1)):
        htcore.mark_step()
        with metric_localcontext("graph_compilation") as compiled:
            (x * number)[start : start + 7].relu()
            htcore.mark_step()
        assert numbers(compiled)["TotalNumber"] == (1 if start == 0 else 0)


def check_a_capture_is_a_compilation_with_its_time_in_microseconds():
    os.environ["PT_HPU_METRICS_GC_DETAILS"] = "1"
    with torch.inference_mode():
        wrapped = hpu.wrap_in_hpu_graph_func(lambda x: x + 1)
        x = torch.ones(7, device="hpu")
        htcore.mark_step()
        with metric_localcontext("graph_compilation") as compiled:
            wrapped(x)
        stats = numbers(compiled)
        assert stats["TotalNumber"] == 1 and stats["TotalTime"] == stats["AvgTime"] == stats["recipe"][0][1] > 0
        assert stats["recipe"][0][0].startswith("hpu_graph_")
        wrapped(x)
        htcore.mark_step()
        with metric_localcontext("graph_compilation") as compiled, metric_localcontext("recipe_cache") as cache:
            wrapped(x)
            hpu.synchronize()
        assert numbers(compiled)["TotalNumber"] == 0 == numbers(cache)["TotalMiss"]
    del os.environ["PT_HPU_METRICS_GC_DETAILS"]
    assert "recipe" not in numbers(compiled)


def check_global_metrics_count_from_the_beginning_and_can_be_reset():
    metric = metric_global("graph_compilation")
    assert metric.name() == "graph_compilation"
    before = numbers(metric)["TotalNumber"]
    work(2001)
    assert numbers(metric)["TotalNumber"] == before + 1
    metric.reset()
    assert numbers(metric) == {"TotalNumber": 0, "TotalTime": 0, "AvgTime": 0}
    metric.stop()
    work(2002)
    assert numbers(metric)["TotalNumber"] == 0
    metric.start()
    work(2003)
    assert numbers(metric)["TotalNumber"] == 1


def check_fallbacks_and_defragmentations_are_zero_here():
    """PT_HPU_PLACE_ON_CPU=mul is set by the caller, and changes nothing."""
    assert (torch.ones(2, device="hpu") * 2).device.type == "hpu"
    assert numbers(metric_global("cpu_fallback")) == {"TotalNumber": 0, "FallbackOps": {}}
    expected = {"TotalNumber": 0, "TotalSuccessful": 0, "AvgTime": 0, "MaxTime": 0}
    assert numbers(metric_global("memory_defragmentation")) == expected


def check_unknown_metrics():
    assert metric_global("no_such_metric") is None
    with raises(MetricNotFound, "no_such_metric"), metric_localcontext("no_such_metric"):
        pass


def check_dump_to_a_file():
    with tempfile.TemporaryDirectory() as directory:
        metrics_dump(f"{directory}/a.json")
        rank0 = f"{directory}/a-rank0.json"
        documents = json.loads(Path(rank0).read_text())
        assert [d["metric_name"] for d in documents][:2] == ["graph_compilation", "cpu_fallback"]
        assert documents[0]["triggered_by"] == "user" and "TotalNumber" in documents[0]["statistics"]
        assert documents[0]["generated_on"].startswith("20")
        metrics_dump(f"{directory}/a.json")
        assert os.path.exists(f"{rank0}.1")  # never over another
        metrics_dump(f"{directory}/a.txt", format="text")
        assert "Metric name: recipe_cache\nTriggered by: user" in Path(f"{directory}/a-rank0.txt").read_text()
