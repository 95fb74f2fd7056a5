"""FP8 where torch itself computes it: the CPU's reference, and the GPU's product, which the CPU has, too."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from gaudi_perf import protocol
from gaudi_perf.accelerators.cpu.accelerator import CpuAccelerator
from gaudi_perf.accelerators.cpu.engine import CpuEngine
from gaudi_perf.accelerators.cuda import accelerator as cuda
from gaudi_perf.accelerators.emulated.accelerator import EmulatedGaudi, EmulatedGaudi2
from gaudi_perf.accelerators.hpu import accelerator as hpu
from gaudi_perf.accelerators.hpu.fp8 import CONFIG_VARIABLE, Quantizer, settings_for
from gaudi_perf.generation import float8
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.architectures import standin_of
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.models import shipped_model
from gaudi_perf.vocabulary.workload import Workload
from gaudi_perf.workers.controller.checking import OutputChecker
from tests.accelerators.lowest import no_scaled_product
from tests.accelerators.test_cpu_engine import Driver
from tests.shapes import published

BLOOM = shipped_model("bloomz560m").standin
LLAMA = shipped_model("llama3.1-8b").standin
MIXTRAL = shipped_model("mixtral-8x7b").standin


def configuration(devices: int = 1) -> Configuration:
    return Configuration(model="bloomz560m", devices=devices, graphs=False, kv_cache=True)


@pytest.fixture
def fp8(spec: GroupSpec) -> GroupSpec:
    return replace(spec, dtype="fp8")


def checked(driver: Driver, loaded: protocol.Loaded, spec: GroupSpec, token_ids: list[int]) -> Any:
    case = Case(
        configuration=configuration(), accelerator="cpu", workload=Workload(dtype="fp8", new_tokens=12), scale="standin"
    )
    group: Any = SimpleNamespace(loaded=loaded, spec=spec, ask=lambda request, *_, **__: driver.ask(request))
    return OutputChecker().check(group, case, [token_ids])


def test_the_cpus_reference_generates_and_says_how_far_it_is_from_bfloat16(fp8: GroupSpec) -> None:
    driver = Driver()
    loaded = driver.load(fp8)
    assert loaded.unquantized is not None and 0.01 < loaded.unquantized.error < 0.06
    tokens = []
    for kv_cache in (True, False):
        driver.prepare(graphs=False, kv_cache=kv_cache)
        tokens.append(driver.rounds(1).token_ids)
    assert tokens[0] == tokens[1]
    found = checked(driver, loaded, fp8, tokens[1])
    assert found.problems == [] and [note.partition(" of the")[0][:-5] for note in found.notes] == [
        "distance of FP8 from bfloat16: "
    ]
    engine = driver.worker.engine
    assert isinstance(engine, CpuEngine)
    kinds = {type(module).__name__ for name, module in engine._model.named_modules() if ".h.0." in name}
    assert "Float8Linear" in kinds and "Linear" not in kinds
    assert type(engine._model.lm_head) is torch.nn.Linear


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_wrong_scale_of_one_layer_is_wrong_output(
    factor: float, fp8: GroupSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    class Planted(float8.Float8Linear):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)
            if len(made) == 5:
                self.weight_scale.mul_(factor)

    monkeypatch.setattr(float8, "Float8Linear", Planted)
    driver = Driver()
    loaded = driver.load(fp8)
    driver.prepare(graphs=False, kv_cache=False)
    (problem,) = checked(driver, loaded, fp8, driver.rounds(1).token_ids).problems
    assert problem.startswith("WRONG OUTPUT: against the model in bfloat16, layer transformer.h.1.")
    assert problem.endswith("and FP8 allows 0.25: its scale is wrong")


def test_scales_are_powers_of_two_with_room() -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(32, 16, dtype=torch.bfloat16)
    layer = float8.Float8Linear(linear, 100.0, float8.reference_product)
    assert layer.weight.dtype == torch.float8_e4m3fn and layer.weight.element_size() == 1
    assert layer.input_scale == 1.0  # 4 x 100 fit below 448
    largest = float(linear.weight.detach().abs().max())
    assert 448 / 4 < largest / float(layer.weight_scale) <= 448 / 2
    hidden = torch.randn(3, 5, 32, dtype=torch.bfloat16)
    difference = layer(hidden) - linear(hidden)
    assert difference.shape == (3, 5, 16) and 0 < difference.float().std() / linear(hidden).float().std() < 0.1
    assert torch.equal(layer(hidden.sign() * 1e6), layer(hidden.sign() * 448))  # too large: the largest number, no NaN


@no_scaled_product
def test_the_gpus_product_is_the_references() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(3, 32).to(float8.E4M3), torch.randn(16, 32).to(float8.E4M3)
    scales = torch.tensor(0.5), torch.tensor(0.25)
    expected = float8.reference_product(left, right.t(), *scales)
    torch.testing.assert_close(float8.scaled_product(left, right.t(), *scales), expected, rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["8.0"]], "needs a GPU of compute capability 8.9 or later (Ada, Hopper), and this one has 8.0"),
        ([["[N/A]"]], "and this one does not report it"),
        ([], "and this one does not report it"),
        ([["8.9"]], ""),
        ([["10.0"]], ""),
    ],
)
def test_gpus_from_compute_capability_8_9_on(rows: list[Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "shown_gpus", lambda *_: rows)
    reason = cuda.CudaAccelerator().why_no_fp8(configuration(), BLOOM, "fp8")
    assert reason.endswith(words) and bool(reason) == bool(words)


def test_what_cannot_be_measured_in_fp8_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hpu, "installed", lambda _: "3.10")
    assert CpuAccelerator().why_no_fp8(configuration(), BLOOM, "fp8") == ""
    assert "reference, on one device only" in CpuAccelerator().why_no_fp8(configuration(2), BLOOM, "fp8")
    assert "on Gaudi only: use dtype=fp8" in CpuAccelerator().why_no_fp8(configuration(), BLOOM, "fp8kv")
    assert "first generation has no FP8" in EmulatedGaudi().why_no_fp8(configuration(), BLOOM, "fp8")
    assert EmulatedGaudi2().why_no_fp8(configuration(8), BLOOM, "fp8") == ""
    assert EmulatedGaudi2().why_no_fp8(configuration(), LLAMA, "fp8kv") == ""
    assert "bloom has no KV cache that becomes FP8, as falcon, gemma2, " in EmulatedGaudi2().why_no_fp8(
        configuration(), BLOOM, "fp8kv"
    )
    assert EmulatedGaudi2().why_no_fp8(configuration(), MIXTRAL, "fp8") == ""
    other = standin_of(published("qwen3_moe"))
    sentence = "of mixtral alone: those of qwen3_moe go to optimum-habana's operator for bfloat16"
    assert EmulatedGaudi2().why_no_fp8(configuration(), other, "fp8").endswith(sentence)
    monkeypatch.setattr(hpu, "installed", lambda _: "")
    assert 'pip install -e ".[fp8]"' in EmulatedGaudi2().why_no_fp8(configuration(), BLOOM, "fp8")


def test_a_measurement_that_others_can_write_is_not_read(
    fp8: GroupSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """neural-compressor-pt reads it as a pickle."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    quantizer = Quantizer(fp8, {}, 0)

    def measured() -> bool:
        return quantizer.measured

    assert not measured()
    quantizer._cached.mkdir(mode=0o700, parents=True)
    (quantizer._cached / "measured.json").write_text("{}")
    quantizer._cached.parent.chmod(0o700)
    assert measured()
    for directory in (quantizer._cached, quantizer._cached.parent):
        directory.chmod(0o770)
        assert not measured()
        directory.chmod(0o700)
    moved = quantizer._cached.rename(tmp_path / "elsewhere")
    quantizer._cached.symlink_to(moved)
    assert not measured()


def test_settings_are_the_suites_unless_the_user_names_others(tmp_path: Path) -> None:
    assert settings_for("fp8", "bloom")["scale_method"] == "maxabs_hw"
    assert settings_for("fp8kv", "llama")["allowlist"] == {"types": [], "names": []}
    assert "GaudiMixtralSparseMoeBlock" in settings_for("fp8", "mixtral")["allowlist"]["types"]
    assert "families" not in settings_for("fp8", "mixtral")
    file = tmp_path / "fp8.json"
    own = {"blocklist": {"types": [], "names": ["lm_head", "self_attn"]}}
    file.write_text(json.dumps({"scale_method": "maxabs_pow2", "families": {"mixtral": own}}))
    settings = settings_for("fp8", "bloom", str(file))
    assert settings["scale_method"] == "maxabs_pow2" and settings["observer"] == "maxabs"
    assert settings["blocklist"]["names"] == ["lm_head"] and "families" not in settings
    assert settings_for("fp8", "mixtral", str(file)) == {**settings_for("fp8", "mixtral"), **settings, **own} | {
        "allowlist": settings_for("fp8", "mixtral")["allowlist"]
    }
    for text, words in (
        ("{", "cannot be read"),
        ('{"a": 1, "a": 2}', r"cannot be read \(the key 'a' is there more than once"),
        ("[]", "it takes a JSON object"),
        ('{"mode": "MEASURE"}', "leave 'mode' out"),
        ('{"families": {"mixtral": {"mode": "MEASURE"}}}', "leave 'mode' out"),
        ('{"families": {"mixtral": []}}', "'families' takes an object of settings for each family"),
        ("[" * 2000, "cannot be read"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=f"^--fp8-config {file}: .*{words}"):
            settings_for("fp8", "bloom", str(file))


def test_workers_find_the_users_settings(fp8: GroupSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hpu, "installed", lambda _: "3.10")
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    accelerator = hpu.HpuAccelerator()
    assert CONFIG_VARIABLE not in accelerator.environment(fp8, tmp_path)
    accelerator.fp8_config = tmp_path / "mine.json"
    assert accelerator.environment(fp8, tmp_path)[CONFIG_VARIABLE] == str(tmp_path / "mine.json")
    with pytest.raises(UserError, match="cannot be read"):  # before anything is started
        accelerator.why_no_fp8(configuration(), BLOOM, "fp8")
    assert EmulatedGaudi2().of_stack({}).fp8_config is None
    emulated = EmulatedGaudi2()
    emulated.fp8_config = accelerator.fp8_config
    assert emulated.of_stack({}).fp8_config == accelerator.fp8_config


@pytest.mark.parametrize(
    ("family", "plain"),
    [
        ("mixtral", {"gate"}),
        ("qwen2_moe", {"gate", "shared_expert_gate"}),
        ("qwen3_moe", {"gate"}),
        ("deepseek_v2", set()),
    ],
)
def test_experts_are_fp8_and_their_router_is_not(family: str, plain: set[str], fp8: GroupSpec) -> None:
    """Also those of a stand-in whose matrices are too narrow for a GPU."""
    driver, spec = Driver(), replace(fp8, model=family, architecture=standin_of(published(family)))
    loaded = driver.load(spec)
    assert loaded.unquantized is not None and 0.01 < loaded.unquantized.error < 0.06
    engine = driver.worker.engine
    assert isinstance(engine, CpuEngine)
    linear = {name for name, module in engine._model.named_modules() if type(module) is torch.nn.Linear}
    assert {name.rpartition(".")[2] for name in linear} == plain | {"lm_head"}
    narrow = {name for name, module in engine._model.named_modules() if isinstance(module, float8.Float8Linear)}
    assert sum(".experts.7." in name for name in narrow) in (3, 6)  # DeepSeek-V2's first layer has none
    driver.prepare(graphs=False, kv_cache=True, new_tokens=3)
    found = checked(driver, loaded, spec, driver.rounds(1).token_ids)
    assert found.problems == [] and len(found.notes) == 1


def test_an_expert_that_no_token_went_to_takes_the_scale_of_the_largest() -> None:
    class Layer(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.gate = torch.nn.Linear(16, 16)
            self.experts = torch.nn.ModuleList(torch.nn.ModuleDict({"w": torch.nn.Linear(16, 16)}) for _ in range(3))

        def get_output_embeddings(self) -> None:
            return None

    model, ones = Layer(), torch.ones(1, 16)

    def run() -> None:
        model.experts[0]["w"](ones)
        model.experts[1]["w"](100 * ones)

    float8.quantize(model, run, float8.reference_product)
    assert [float(expert["w"].input_scale) for expert in model.experts] == [2.0**-6, 1.0, 1.0]
    assert type(model.gate) is torch.nn.Linear
