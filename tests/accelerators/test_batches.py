"""Prompts of several lengths in one padded batch are completed as if each were alone."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gaudi_perf import protocol
from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.accelerators.emulated.accelerator import EmulatedGaudi2
from gaudi_perf.accelerators.torch_engine import padded
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.rank.worker import Worker

PROMPTS = [[11, 12, 13, 14, 15, 16], [21], [31, 32, 33]]
NEW = 8
VARIANTS = list(itertools.product((False, True), (True, False)))


def completed(worker: Worker, prompts: list[list[int]], *, width: int, rows: int, **variant: Any) -> list[list[int]]:
    prepare = protocol.Prepare(variant=Variant(new_tokens=NEW, batch_size=rows, prompt_tokens=width, **variant))
    assert worker.answer(prepare) == protocol.Prepared()
    reply = worker.answer(protocol.Complete(prompts=prompts))
    assert isinstance(reply, protocol.Completed), reply
    assert reply.latency_s > 0
    return reply.token_ids


def check(spec: GroupSpec, variants: list[tuple[bool, bool]]) -> None:
    worker = Worker(lambda reply: None)
    loaded = worker.answer(protocol.Load(group=spec))
    assert isinstance(loaded, protocol.Loaded), loaded
    alone = [
        completed(worker, [prompt], width=len(prompt), rows=1, graphs=False, kv_cache=True)[0] for prompt in PROMPTS
    ]
    assert len({tuple(tokens) for tokens in alone}) == 3
    for graphs, kv_cache in variants:
        together = completed(worker, PROMPTS, width=6, rows=4, graphs=graphs, kv_cache=kv_cache)
        assert together == alone, (graphs, kv_cache)
        again = worker.answer(protocol.Complete(prompts=PROMPTS[::-1]))
        assert isinstance(again, protocol.Completed)
        assert again.token_ids == alone[::-1], "a mask is that of its own batch"


def test_a_padded_batch_on_the_cpu(spec: GroupSpec, without_kernels: Callable[[], None]) -> None:
    without_kernels()  # what tracing takes for constant is what could be wrong here: the mask
    check(spec, VARIANTS)


@pytest.mark.skipif(
    importlib.util.find_spec("optimum") is None or bool(CpuAccelerator().cannot_run(True, 1)),
    reason="the emulated Gaudi needs gaudi-perf[hpu] and a compiler",
)
@pytest.mark.emulation
def test_a_padded_batch_on_the_emulated_gaudi(spec: GroupSpec, tmp_path: Path) -> None:
    gaudi = EmulatedGaudi2()
    group = GroupSpec(engine=gaudi.name, model=spec.model, devices=1, scale="standin", dtype="float32")
    script = (
        "from tests.accelerators.test_batches import *; import sys, msgspec; "
        "check(msgspec.json.decode(sys.argv[1], type=GroupSpec), VARIANTS)"
    )
    environment = {**os.environ, **gaudi.environment(group, tmp_path)}
    import msgspec

    done = subprocess.run(
        [sys.executable, "-c", script, msgspec.json.encode(group).decode()],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("prompts", [[], [[1]] * 3, [[]], [[1, 2, 3, 4]]])
def test_what_has_no_room_is_refused(prompts: list[list[int]]) -> None:
    with pytest.raises(UserError, match="room for 1 to"):
        padded(prompts, rows=2, width=3, pad_token_id=3, device="cpu")
