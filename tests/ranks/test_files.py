"""What several ranks read: weights of the hub and datasets, each once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaudi_perf import protocol
from gaudi_perf.protocol import GroupSpec, Weights
from gaudi_perf.vocabulary.dataset import Dataset
from gaudi_perf.workers.controller.group import GroupFailure, WorkerGroup
from gaudi_perf.workers.rank.worker import Worker
from tests.datasets.weights import small_weights
from tests.ranks.conftest import MakeGroup, prepare, processes_of, rounds
from tests.ranks.hub import serving

REPOSITORY = "bigscience/bloomz-7b1"
PROMPTS = ["a quantum effect", "the rise of cheap small satellites", "it was", "", "small effect of the rise"]


def of_one_process(directory: Path, *requests: protocol.AnyRequest) -> list[protocol.AnyReply]:
    """What a single worker answers."""
    spec = GroupSpec(
        engine="cpu",
        model="bloomz7b",
        devices=1,
        scale="standin",
        dtype="float32",
        weights=Weights(kind="path", path=str(directory)),
    )
    worker = Worker(lambda reply: None)
    loaded = worker.answer(protocol.Load(group=spec))
    assert isinstance(loaded, protocol.Loaded), loaded
    return [worker.answer(request) for request in requests]


def test_the_hub_is_asked_by_one_rank_and_the_cache_serves_the_others(
    make_group: MakeGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = small_weights(tmp_path / "weights", prompt_tokens=7)
    (weights / "pytorch_model.bin").write_bytes(b"of another format")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(REPOSITORY, weights) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        group = make_group(2, weights=Weights(kind="hub"))
        group.start()
        loaded = group.load()
        wanted = {
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        }
        assert {name: count for name, count in hub.downloads.items() if count} == dict.fromkeys(wanted, 1)
    variant = protocol.Variant(graphs=False, kv_cache=True, new_tokens=6)
    *_, done = of_one_process(weights, protocol.Prepare(variant=variant), protocol.Rounds(count=1))
    assert isinstance(done, protocol.RoundsDone)
    prepare(group, new_tokens=6)
    assert rounds(group).token_ids == done.token_ids and len(loaded.prompt_ids) == 7

    # The hub is gone. What is in the cache is enough, until it is not whole any more.
    assert group.load().prompt_ids == loaded.prompt_ids
    (file,) = (tmp_path / "hf").rglob("snapshots/*/model.safetensors")
    file.unlink()
    with pytest.raises(GroupFailure) as failure:
        group.load()
    assert failure.value.mistake and "\n" not in failure.value.sentence
    assert failure.value.sentence.startswith(f"--weights hub: there is no *.safetensors of {REPOSITORY} in ")
    assert "is the hub reachable" in failure.value.sentence


def test_a_dataset_is_read_by_one_rank_and_completed_by_all(make_group: MakeGroup, tmp_path: Path) -> None:
    weights = small_weights(tmp_path / "weights", prompt_tokens=7)
    source = tmp_path / "prompts.csv"
    source.write_text("".join(["number,prompt\n", *(f'{n},"{text}"\n' for n, text in enumerate(PROMPTS))]))
    variant = protocol.Variant(graphs=False, kv_cache=True, new_tokens=6, batch_size=3, prompt_tokens=4)
    opening = protocol.OpenDataset(dataset=Dataset(source=str(source)), prompt_tokens=4)
    reading = protocol.ReadPrompts(first=0, count=len(PROMPTS))

    opened, read = of_one_process(weights, opening, reading)
    assert isinstance(opened, protocol.DatasetOpened) and isinstance(read, protocol.Prompts)
    batches = [protocol.Complete(prompts=read.token_ids[at : at + 3]) for at in (0, 3)]
    _, _, *expected = of_one_process(weights, opening, protocol.Prepare(variant=variant), *batches)

    group = make_group(2, weights=Weights(kind="path", path=str(weights)))
    group.start()
    group.load()
    group.ask(protocol.Prepare(variant=variant), protocol.Prepared, phase="prepare")
    assert group.ask(opening, protocol.DatasetOpened, phase="reading the dataset") == opened
    assert group.ask(reading, protocol.Prompts, phase="reading prompts") == read
    for batch, one in zip(batches, expected, strict=True):
        assert isinstance(one, protocol.Completed)
        done = group.ask(batch, protocol.Completed, phase="completing")
        assert (done.token_ids, done.texts) == (one.token_ids, one.texts)
    assert sorted(loaded_library(group, "pandas/_libs")) == [False, True], "only one rank has imported pandas"
    assert loaded_library(group, "sklearn") == [False, False], "what nobody needs"

    missing = protocol.OpenDataset(dataset=Dataset(source=str(tmp_path / "no.csv")), prompt_tokens=4)
    with pytest.raises(GroupFailure, match="there is no such file") as failure:
        group.ask(missing, protocol.DatasetOpened, phase="reading the dataset")
    assert failure.value.mistake


def loaded_library(group: WorkerGroup, name: str) -> list[bool]:
    """For each rank, whether a library of this name is in its memory."""
    ranks = processes_of(group, "gaudi_perf.workers.rank.rank")
    return [name in Path(f"/proc/{rank.pid}/maps").read_text() for rank in ranks]
