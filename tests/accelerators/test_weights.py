"""Real weights from a directory or the hub: they load, and each mistake is one sentence with its remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BloomConfig, BloomForCausalLM, PreTrainedTokenizerFast

from gaudi_perf import protocol
from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.generation.weights import load_tokenizer
from gaudi_perf.protocol import GroupSpec, Weights
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.models import Scale
from gaudi_perf.vocabulary.workload import PROMPT
from gaudi_perf.workers.controller.group import GroupFailure, WorkerGroup
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.workers.rank.worker import Worker
from tests.shapes import bloom

Mend = Callable[[Path], None]


def write_tokenizer(directory: Path, learned: list[str]) -> None:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(learned * 20, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(directory)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BLOOM as the hub stores BLOOMZ, with a tokenizer that makes seven tokens of the prompt."""
    directory = tmp_path_factory.mktemp("weights") / "tiny"
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=1000, hidden_size=32, n_layer=2, n_head=4, pad_token_id=3, initializer_range=0.5)
    BloomForCausalLM(config).save_pretrained(directory, safe_serialization=True)
    file = directory / "model.safetensors"
    weights = {name.removeprefix("transformer."): value for name, value in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    write_tokenizer(directory, ["Deep", "Speed", *PROMPT.replace("DeepSpeed", "It").split(" is ")[:1], PROMPT[9:]])
    return directory


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "copied")


def load(path: Path, scale: Scale = "standin", **changes: Any) -> protocol.AnyReply:
    group = GroupSpec(
        engine="cpu",
        model="bloomz7b",
        devices=1,
        scale=scale,
        dtype=changes.get("dtype", "float32"),
        weights=Weights(kind="path", path=str(path)),
    )
    worker = Worker(lambda reply: None)
    reply = worker.answer(protocol.Load(group=group))
    if isinstance(reply, protocol.Loaded):
        variant = protocol.Variant(graphs=False, kv_cache=True, new_tokens=4)
        prepared = worker.answer(protocol.Prepare(variant=variant))
        assert isinstance(prepared, protocol.Prepared) and prepared.tokenization_s, "there is a tokenizer"
        done = worker.answer(protocol.Rounds(count=1))
        assert isinstance(done, protocol.RoundsDone) and len(done.token_ids) == 4
    return reply


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_directory_with_tokenizer_loads(whole: Path, dtype: str) -> None:
    loaded = load(whole, dtype=dtype)
    assert isinstance(loaded, protocol.Loaded), loaded
    assert len(loaded.prompt_ids) == 7 and len(set(loaded.prompt_ids)) == 7


def change_config(directory: Path, **fields: Any) -> None:
    file = directory / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def no_config(directory: Path) -> None:
    (directory / "config.json").unlink()


def broken_config(directory: Path) -> None:
    (directory / "config.json").write_text("{")


def no_safetensors(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")


def torn_safetensors(directory: Path) -> None:
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def lacking_weights(directory: Path) -> None:
    file = directory / "model.safetensors"
    weights = load_file(file)
    del weights["h.1.mlp.dense_h_to_4h.weight"]
    save_file(weights, file, metadata={"format": "pt"})


def weights_of_another_size(directory: Path) -> None:
    change_config(directory, hidden_size=64)


def another_architecture(directory: Path) -> None:
    change_config(directory, model_type="gpt2", architectures=["GPT2LMHeadModel"])


def another_type(directory: Path) -> None:
    change_config(directory, model_type="gpt2", architectures=None)


def no_tokenizer(directory: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (directory / name).unlink()


def broken_tokenizer(directory: Path) -> None:
    (directory / "tokenizer.json").write_text('{"version": "1.0"}')


def tokenizer_of_another_model(directory: Path) -> None:
    write_tokenizer(directory, ["entirely other words"])


MISTAKES: dict[Mend, list[str]] = {
    no_config: ["has no config.json", "name a directory"],
    broken_config: ["config.json cannot be read", "name a directory"],
    no_safetensors: ["has no *.safetensors", "convert them"],
    torn_safetensors: ["cannot be loaded", "whole"],
    lacking_weights: ["lacks 1 weights", "h.1.mlp.dense_h_to_4h.weight", "config.json"],
    weights_of_another_size: ["cannot be loaded", "size mismatch", "config.json"],
    another_architecture: ["is of the architecture gpt2, and bloomz7b is of bloom", "name a directory"],
    another_type: ["is of the architecture gpt2, and bloomz7b is of bloom", "name a directory"],
    no_tokenizer: ["no tokenizer", "tokenizer.json", "--weights dummy"],
    broken_tokenizer: ["no tokenizer", "--weights dummy"],
    tokenizer_of_another_model: ["tokens of the prompt, and BLOOM's makes 7", "not BLOOM's tokenizer"],
}


def assert_one_sentence(reply: object, words: list[str]) -> None:
    assert isinstance(reply, protocol.Failed), reply
    assert reply.mistake, reply.message
    assert "--weights" in reply.message
    for word in words:
        assert word in reply.message
    assert "\n" not in reply.message and "Traceback" not in reply.message and "Error:" not in reply.message
    assert len(reply.message) < 600


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_mistakes_are_one_sentence(copy: Path, mistake: Mend) -> None:
    mistake(copy)
    reply = load(copy)
    assert_one_sentence(reply, [*MISTAKES[mistake], str(copy)])


def test_full_scale_wants_the_model_s_own_shape(whole: Path) -> None:
    reply = load(whole, scale="full")
    assert_one_sentence(reply, ["is not bloomz7b", "hidden_size is 32, not 4096", "--scale standin"])


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert_one_sentence(load(tmp_path / "nowhere"), ["nowhere", "name a directory"])


def test_code_beside_the_weights_is_never_run(copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ran = tmp_path / "ran"
    (copy / "evil.py").write_text(
        f"open({str(ran)!r}, 'w').close()\n"
        "from transformers import BloomConfig, BloomForCausalLM, PreTrainedTokenizerFast\n"
        "class C(BloomConfig): pass\nclass M(BloomForCausalLM): pass\nclass T(PreTrainedTokenizerFast): pass\n"
    )
    (copy / "modeling_bloom.py").write_text((copy / "evil.py").read_text())
    change_config(copy, auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M", "AutoTokenizer": "evil.T"})
    tokenizer = json.loads((copy / "tokenizer_config.json").read_text())
    tokenizer |= {"auto_map": {"AutoTokenizer": ["evil.T", "evil.T"]}, "tokenizer_class": "T"}
    (copy / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    reply = load(copy)
    assert not ran.exists()
    assert isinstance(reply, protocol.Loaded) or reply.mistake  # type: ignore[union-attr]
    assert "y/N" not in capfd.readouterr().out, "nobody is asked whether to run it"


@pytest.mark.slow
def test_the_hub_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker of its own: where the hub is, is read once when its library is imported."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    spec = GroupSpec(
        engine="cpu", model="bloomz560m", devices=1, scale="full", dtype="bfloat16", weights=Weights(kind="hub")
    )
    group = WorkerGroup(spec, CpuAccelerator(), tmp_path / "g", Deadlines())
    try:
        group.start()
        with pytest.raises(GroupFailure) as failure:
            group.load()
    finally:
        group.close()
    reply = protocol.Failed(message=failure.value.sentence, mistake=failure.value.mistake)
    assert_one_sentence(reply, ["bigscience/bloomz-560m", "HF_HUB_OFFLINE", "--weights dummy"])
    assert failure.value.phase == "load" and failure.value.log == ""


@pytest.mark.parametrize(
    ("scale", "remedy"),
    [("standin", "add --scale full"), ("full", "name its directory or repository with --model, too")],
)
def test_real_weights_of_another_shape_than_the_case_says(whole: Path, scale: Scale, remedy: str) -> None:
    group = GroupSpec(
        engine="cpu",
        model="mine",
        devices=1,
        scale=scale,
        dtype="float32",
        weights=Weights(kind="path", path=str(whole)),
        architecture=bloom(hidden_size=128, layers=2, heads=8, vocabulary=1000),
    )
    reply = Worker(lambda reply: None).answer(protocol.Load(group=group))
    assert_one_sentence(reply, ["is not mine", "hidden_size is 32, not 128", remedy])


@pytest.mark.parametrize("kind", ["LlamaTokenizerFast", "GPT2TokenizerFast"])
def test_what_is_missing_is_tokenizer_json_not_what_converts_other_files(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    group = GroupSpec(
        engine="cpu",
        model="mine",
        devices=1,
        scale="full",
        dtype="float32",
        weights=Weights(kind="path", path=str(tmp_path)),
    )
    with pytest.raises(UserError) as mistake:
        load_tokenizer(group)
    remedy = "put tokenizer.json beside the weights, or use --weights dummy"
    assert str(mistake.value) == f"--weights path: {tmp_path} has no tokenizer.json: {remedy}"
