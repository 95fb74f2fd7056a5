"""Options on Gaudi, each on the emulated one: the tokens stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.vocabulary.gaudi_options import GaudiOptions, parsed_options
from gaudi_perf.vocabulary.models import shipped_model
from gaudi_perf.vocabulary.workload import PROMPT
from gaudi_perf.workers.controller.group import GroupFailure, WorkerGroup
from gaudi_perf.workers.controller.plan import Deadlines

pytestmark = pytest.mark.emulation
NEW = 12
FLASH = "use_flash_attention,flash_attention_recompute,flash_attention_causal_mask"


def loaded(model: str, directory: Path) -> WorkerGroup:
    spec = protocol.GroupSpec(
        engine="emulated-gaudi2",
        model=model,
        devices=1,
        scale="standin",
        dtype="float32",
        architecture=shipped_model(model).standin,
    )
    group = WorkerGroup(spec, accelerator_named(spec.engine), directory, Deadlines())
    group.start()
    group.load()
    return group


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerGroup]:
    group = loaded("llama3.1-8b", tmp_path_factory.mktemp("llama") / "group")
    yield group
    group.close()


def generated(
    group: WorkerGroup, options: GaudiOptions, *, graphs: bool = True, new: int = NEW, **variant: object
) -> list[list[int]]:
    """The tokens of every row in the second round."""
    fields = {"graphs": graphs, "kv_cache": True, "new_tokens": new, "batch_size": 2, **variant}
    group.ask(protocol.Prepare(variant=protocol.Variant(gaudi_options=options, **fields)), protocol.Prepared, phase="p")
    for _ in range(2):
        done = group.ask(protocol.Rounds(count=1), protocol.RoundsDone, phase="rounds")
    return done.rows


@pytest.mark.parametrize("graphs", [True, False])
def test_tokens_are_the_same_with_every_option(llama: WorkerGroup, graphs: bool) -> None:
    expected = generated(llama, GaudiOptions(), graphs=graphs)
    assert len(set(expected[0])) > 4
    for options in (
        "reuse_cache,trim_logits",
        FLASH,
        "limit_hpu_graphs",
        "bucket_size=8",
        f"reuse_cache,bucket_size=8,bucket_internal,{FLASH}",
    ):
        assert generated(llama, parsed_options(options), graphs=graphs) == expected, options


def test_options_reach_generate_which_refuses_those_that_contradict_each_other(llama: WorkerGroup) -> None:
    with pytest.raises(GroupFailure, match="set bucket_internal along with reuse_cache and bucket_size"):
        generated(llama, parsed_options("reuse_cache,bucket_size=8"))


def test_a_cache_that_is_reused_ends_with_its_variant(llama: WorkerGroup) -> None:
    """optimum-habana keeps it for prompts of one length, and refuses another of the same length in all."""
    generated(llama, GaudiOptions(reuse_cache=True))
    shorter = {"new": NEW + 3, "prompt_tokens": 4, "prompt": "another"}
    reused = generated(llama, GaudiOptions(reuse_cache=True), **shorter)  # type: ignore[arg-type]
    assert reused == generated(llama, GaudiOptions(), **shorter)  # type: ignore[arg-type]


def test_a_causal_mask_that_would_leave_padding_unmasked_is_refused(llama: WorkerGroup) -> None:
    prompts = {"prompt": ("one", "two words here"), "prompt_tokens": 6}
    assert generated(llama, GaudiOptions(use_flash_attention=True), **prompts)
    words = r"does not mask padded positions: .*flash_attention_causal_mask=no"
    with pytest.raises(GroupFailure, match=words) as failure:
        generated(llama, parsed_options(FLASH), **prompts)
    assert failure.value.mistake
    generated(llama, GaudiOptions(), prompt=PROMPT)  # the worker goes on
