"""Every row of a batch is checked: those with prompts of their own against one plain pass, padded as they are, the
others against the row that has their prompt.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch

from gaudi_perf import protocol
from gaudi_perf.accelerators.cpu.engine import CpuEngine
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.statistics.outputs import WRONG
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.workload import Workload
from gaudi_perf.workers.controller.checking import Checked, OutputChecker
from gaudi_perf.workers.controller.group import variant_of
from gaudi_perf.workers.rank.worker import Worker

THREE = ("one two three four five six seven eight", "one two three", "seven eight nine ten")


class Group:
    """A worker in this process, as a checker asks it."""

    def __init__(self, spec: GroupSpec) -> None:
        self.spec = spec
        self.worker = Worker(lambda reply: None)
        self.loaded = self.worker.answer(protocol.Load(group=spec))
        assert isinstance(self.loaded, protocol.Loaded)

    def ask(self, request: Any, kind: Any, phase: str) -> Any:
        reply = self.worker.answer(request)
        assert isinstance(reply, kind), reply
        return reply

    def checked(self, case: Case, rows: list[list[int]] | None = None) -> tuple[protocol.RoundsDone, Checked]:
        self.ask(protocol.Prepare(variant=variant_of(case)), protocol.Prepared, "prepare")
        done = self.ask(protocol.Rounds(count=2), protocol.RoundsDone, "rounds")
        return done, OutputChecker().check(self, case, rows or done.rows, done.prompts)  # type: ignore[arg-type]


def case(spec: GroupSpec, **workload: Any) -> Case:
    configuration = Configuration(model=spec.model, devices=1, graphs=False, kv_cache=True)
    one = Workload(new_tokens=6, prompt_tokens=8, dtype=spec.dtype, **workload)
    return Case(configuration=configuration, accelerator="cpu", workload=one, scale="standin")


def test_rows_of_several_lengths_take_the_prompts_in_turn(spec: GroupSpec) -> None:
    group = Group(spec)
    done, checked = group.checked(case(spec, batch_size=5, prompt=THREE))
    assert [len(ids) for ids in group.worker.prompts] == [8, 3, 4] and done.prompts == 3
    assert done.same_tokens and len(done.rows) == 5
    assert done.rows[3:] == done.rows[:2] and len({tuple(row) for row in done.rows}) == 3
    assert checked.problems == checked.notes == [] and checked.trace is not None
    alone = [group.checked(case(spec, prompt=text, batch_size=2))[0] for text in THREE[:1]]
    assert alone[0].rows == [done.token_ids] * 2


def test_a_row_that_differs_from_the_row_of_its_prompt_is_wrong(spec: GroupSpec) -> None:
    group = Group(spec)
    wanted = case(spec, batch_size=4)
    done, checked = group.checked(wanted)
    assert checked.problems == [] and done.prompts == 1
    rows = [list(row) for row in done.rows]
    rows[2][4] = (rows[2][4] + 1) % 100 + 4
    _, checked = group.checked(wanted, rows)
    (problem,) = checked.problems
    assert problem.startswith(f"{WRONG}: against row 1, whose prompt is the same in row 3, step 5 of 6: token")


def test_padding_that_is_not_masked_is_wrong_in_its_row(spec: GroupSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    group, batch = Group(spec), CpuEngine._batch
    wanted = case(spec, batch_size=3, prompt=THREE)

    def without_mask(self: Any, *arguments: Any) -> Any:
        ids, mask = batch(self, *arguments)
        return ids, torch.ones_like(mask)

    monkeypatch.setattr(CpuEngine, "_batch", without_mask)
    _, checked = group.checked(wanted)
    assert [problem.partition(", at step")[0] for problem in checked.problems] == [
        f"{WRONG}: against one pass over the same tokens in row {row}" for row in (2, 3)
    ]


def test_documents_hold_several_prompts() -> None:
    one = Workload(prompt=THREE, batch_size=3)
    assert msgspec.json.decode(msgspec.json.encode(one), type=Workload) == one
    assert one.differing == ["b3", f"prompt{one.prompt_digest}"] and one.prompts == THREE
    with pytest.raises(ValueError, match="prompts of more than 20000 characters"):
        Workload(prompt=("a" * 15_000, "b" * 15_000))
