from __future__ import annotations

import pytest
from msgspec.structs import replace

from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline, Published
from gaudi_perf.vocabulary.run import Run, differences
from gaudi_perf.vocabulary.stack import stack_changes
from tests.stores.factories import make_run

RUN = make_run()


def changed(where: str, **fields: object) -> Run:
    """The run with fields changed in its case, workload, configuration, host or device."""
    case, host, device = RUN.case, RUN.host, RUN.device
    if where == "case":
        case = replace(case, **fields)
    elif where == "workload":
        case = replace(case, workload=replace(case.workload, **fields))
    elif where == "configuration":
        case = replace(case, configuration=replace(case.configuration, **fields))
    elif where == "host":
        host = replace(host, **fields)
    else:
        device = replace(device, **fields)
    return replace(RUN, case=case, host=host, device=device)


def test_a_run_can_be_compared_with_its_like() -> None:
    assert differences(make_run().comparability, RUN.comparability) == []
    assert make_run().comparability == RUN.comparability


@pytest.mark.parametrize(
    ("where", "fields", "words"),
    [
        ("device", {"name": "gaudi3"}, "device 'gaudi2' is not 'gaudi3'"),
        ("case", {"scale": "standin"}, "scale 'full' is not 'standin'"),
        ("case", {"weights": "hub"}, "weights 'dummy' is not 'hub'"),
        ("workload", {"dtype": "float32"}, "dtype 'bfloat16' is not 'float32'"),
        ("workload", {"new_tokens": 4}, "new tokens 100 is not 4"),
        ("workload", {"batch_size": 2}, "batch size 1 is not 2"),
        ("workload", {"prompt_tokens": 9}, "prompt tokens 7 is not 9"),
        ("workload", {"prompt": "Hello"}, "prompt 'DeepSpeed is a machine learning framework' is not 'Hello'"),
        ("host", {"cores": 40}, "host class 'Xeon 8380, 80 cores' is not 'Xeon 8380, 40 cores'"),
        ("host", {"hosts": 2}, "host class 'Xeon 8380, 80 cores' is not '2 hosts of Xeon 8380, 80 cores'"),
        (
            "configuration",
            {"kv_cache": False},
            "configuration 'bloomz7b-1x-graphs-kvcache' is not 'bloomz7b-1x-graphs-nocache'",
        ),
    ],
)
def test_every_differing_field_is_named(where: str, fields: dict[str, object], words: str) -> None:
    other = changed(where, **fields)
    assert differences(RUN.comparability, other.comparability) == [words]
    assert RUN.comparability != other.comparability
    if where not in ("device",):
        assert CaseBaseline.of([other]).key != CaseBaseline.of([RUN]).key


@pytest.mark.parametrize("load", [0.5, 40.0])
def test_what_may_differ(load: float) -> None:
    other = changed("host", load=load, governor="powersave", memory_bytes=1)
    assert differences(RUN.comparability, other.comparability) == []


def test_published_numbers_are_of_any_host_and_weights() -> None:
    number = Published(latency_s=1.0, source="a page", address="https://example.org", published_on="2023-03-28")
    entry = CaseBaseline(case=make_run(weights="hub").case, published=number)
    baseline = Baseline(device=RUN.device, stack=RUN.stack, cases=[entry])
    assert baseline.entries[0].differences(RUN.comparability) == []
    assert entry.level_s == 1.0 and entry.provenance == "published" and entry.host_class == ""


def test_how_stacks_differ() -> None:
    ours = replace(RUN.stack, components={"driver": "1", "pytorch": "2.6"}, settings={"PT_HPU_LAZY_MODE": "1"})
    theirs = replace(RUN.stack, version="1.23.0", components={"driver": "2", "firmware": "3", "pytorch": "2.6"})
    assert stack_changes(ours, theirs) == [
        "synapse 1.22.0 -> 1.23.0",
        "driver 1 -> 2",
        "firmware none -> 3",
        "PT_HPU_LAZY_MODE 1 -> none",
    ]
    assert stack_changes(ours, ours) == []
