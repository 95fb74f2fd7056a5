"""The worker's side of accelerators that PyTorch drives: a model of transformers in their memory, and ways to generate.

What imports transformers' models is imported inside functions: an accelerator may have to change transformers first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import torch

from gaudi_perf.accelerators.base import Engine
from gaudi_perf.generation.bandwidth import measured_bandwidth
from gaudi_perf.generation.compilations import Compilations
from gaudi_perf.generation.deepspeed import import_deepspeed, pass_alone, sharded_model
from gaudi_perf.generation.plain import PlainGeneration
from gaudi_perf.generation.prompts import Prompt, prompt_of
from gaudi_perf.generation.tracing import Tracer, trace_of_one_pass
from gaudi_perf.protocol import GroupSpec, Unquantized, Variant
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import GraphCompilation, TokenTrace
from gaudi_perf.vocabulary.workload import FP8, PROMPT_TOKENS

if TYPE_CHECKING:
    from gaudi_perf.generation.static import StaticGeneration

Generation: TypeAlias = "PlainGeneration | StaticGeneration"
"""One way of generating, with buffers for one variant."""


def leave_out_scikit_learn() -> None:
    """Have transformers, which must not have imported its models yet, go without scikit-learn.

    It uses scikit-learn in assisted generation alone, and imports it for every model: 1.5 of the 6.3 s of processor
    time that imports take, in every rank. There is no setting for it; a release that does not look here is slower.
    """
    from transformers.utils import import_utils

    import_utils._sklearn_available = False


class TorchEngine(Engine):
    """Holds a model, or a rank's part of it.

    Attributes:
        device_type: what PyTorch calls the device.
        library: what the model is made with, beside PyTorch.
        fills_on_device: whether dummy weights are made on the device; else on the host.
        attention: the kind of transformers' attention that models are made with; None for its default.
    """

    device_type: ClassVar[str] = "cpu"
    library: ClassVar[str] = "transformers"
    fills_on_device: ClassVar[bool] = False
    attention: ClassVar[str | None] = None

    def __init__(self) -> None:
        self._group: GroupSpec  # this and the next two from load() on
        self._model: Any = None
        self._forward: Any
        self._variant: Variant | None = None
        self._generation: Generation | None = None
        self._compilations = Compilations()

    def generation_of(self, variant: Variant) -> Generation:
        """Make the buffers of a variant: ``eager`` is transformers' generate."""
        if variant.graphs or variant.compiled:
            return self.static_generation(variant)
        return PlainGeneration(self._model, variant.new_tokens, variant.kv_cache, variant.search)

    def static_generation(self, variant: Variant) -> Generation:
        """The same for ``graphs`` and ``compile``, made in the first rounds; UserError if the accelerator has none."""
        raise UserError("this accelerator has no graphs: leave them out with -k eager, or --eager for a dataset")

    def compiled_generation(self, variant: Variant) -> Generation:
        """Static shapes whose step torch.compile compiles, in the first rounds."""
        from gaudi_perf.generation.static import kind_of

        self._compilations.watch()
        return kind_of(self._model, variant.kv_cache)(
            self._model,
            variant.prompt_tokens,
            variant.new_tokens,
            variant.batch_size,
            wrap=lambda step: torch.compile(step, fullgraph=True, dynamic=False),
            ranks=self._group.devices,
        )

    def import_libraries(self) -> None:
        """Import what the model needs; UserError if something is not installed."""
        leave_out_scikit_learn()
        from transformers import AutoModelForCausalLM  # noqa: F401

    def take_device(self) -> None:
        """Once everything is imported, before weights are put on the device: UserError if there is none."""

    def release_memory(self) -> None:
        """Give the device back what an allocator keeps without need; called where memory was used for a while."""

    def import_for_ranks(self) -> None:
        self.import_libraries()
        import_deepspeed()

    def load(self, group: GroupSpec, progress: Callable[[str], None]) -> None:
        progress(f"importing torch and {self.library}")
        self.import_libraries()
        self.take_device()
        self._group = group
        progress(f"{group.weights.label} weights, {group.built.weight_bytes(group.dtype) / 1e9:.2g} GB")
        self._model = self.made(group, progress)
        if group.dtype in FP8:
            self.unquantized = self._in_fp8(group, progress)
        self._forward = self._model.forward
        self.release_memory()

    def made(self, group: GroupSpec, progress: Callable[[str], None]) -> Any:
        """The model, or this rank's part of it, with its weights, on the device."""
        from gaudi_perf.generation.dummy import dummy_model
        from gaudi_perf.generation.weights import load_model

        filled_on = self.device_type if self.fills_on_device else "cpu"
        if group.devices > 1:
            return sharded_model(group, progress, filled_on, self.attention)
        if group.weights.kind == "dummy":
            made = dummy_model(group.built, group.carried_dtype, device=filled_on, attention=self.attention)
            return made.to(self.device_type)
        return load_model(group, self.attention).to(self.device_type)

    def quantize(self, group: GroupSpec, sequences: list[list[int]]) -> None:
        """Put linear layers into FP8, calibrated with these token ids; UserError if the accelerator has none."""
        raise UserError("this accelerator has no FP8")

    def passes(self, sequences: list[list[int]]) -> None:
        with torch.inference_mode():
            for sequence in sequences:
                ids = torch.tensor([sequence], device=self.device_type)
                self._model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)

    def _in_fp8(self, group: GroupSpec, progress: Callable[[str], None]) -> Unquantized:
        from gaudi_perf.generation.float8 import calibration_ids, kept_layers, worst_layer

        sequences = calibration_ids(group)
        prompt_ids, token_ids = sequences[0][:PROMPT_TOKENS], sequences[0][PROMPT_TOKENS:]
        with kept_layers(self._model) as kept:
            trace = trace_of_one_pass(self._model.forward, prompt_ids, token_ids, self.device_type)
        progress("calibrating and quantizing to FP8")
        self.quantize(group, sequences)
        layer, error = worst_layer(self._model, kept, self.device_type)
        return Unquantized(prompt_ids=prompt_ids, trace=trace, layer=layer, error=error)

    def prompt(self) -> Prompt:
        return prompt_of(self._group)

    def prompt_of(self, text: str, tokens: int) -> Prompt:
        return prompt_of(self._group, text, tokens)

    def memory_bandwidth(self) -> float | None:
        weights = self._group.built.weight_bytes(self._group.dtype) // self._group.devices
        bandwidth = measured_bandwidth(self.device_type, weights, self.synchronize)
        self.release_memory()
        return bandwidth

    def prepare(self, variant: Variant) -> None:
        self.close()  # what the variant before held is freed first
        self._variant = variant
        self._generation = self.generation_of(variant)

    def close(self) -> None:
        self._variant = self._generation = None
        self._compilations = Compilations()

    def generate(self, prompts: list[list[int]], on_token: Callable[[], None] | None = None) -> list[list[int]]:
        variant, generation = self._prepared()
        ids, mask = self._batch(prompts, variant)
        return list(generation(ids, on_token, mask).cpu().tolist())

    def complete(self, prompts: list[list[int]]) -> list[list[int]]:
        variant, generation = self._prepared()
        ids, mask = self._padded(prompts, variant)
        return list(generation(ids, mask=mask)[: len(prompts)].cpu().tolist())

    def trace(self, prompts: list[list[int]], token_ids: list[list[int]], plain: bool) -> list[TokenTrace]:
        """Led along the tokens in the variant's way (captured steps are replayed), or in one pass without graphs. A
        search that is not greedy cannot be led: its next token does not follow from the logits of a step.
        """
        variant, generation = self._prepared()
        if variant.search:
            return []
        if plain:
            width, pad = variant.prompt_tokens, [self._model.config.pad_token_id]
            return [
                trace_of_one_pass(self._forward, prompt, tokens, self.device_type, pad * (width - len(prompt)))
                for prompt, tokens in zip(prompts, token_ids, strict=True)
            ]
        tracer = Tracer(token_ids)
        ids, mask = self._batch(prompts, variant)
        generation(ids, mask=mask, tracer=tracer)
        return tracer.traces

    def pass_alone(self, prompt_ids: list[int]) -> bool:
        pass_alone(self._model, self._forward, prompt_ids, self.device_type)
        return True

    def graph_compilation(self) -> GraphCompilation | None:
        return self._compilations.total

    def begin_rounds(self) -> None:
        self._compilations.begin_rounds()

    def problems(self) -> list[str]:
        return self._compilations.problems()

    def _prepared(self) -> tuple[Variant, Generation]:
        assert self._variant is not None and self._generation is not None, "prepare() comes first"
        return self._variant, self._generation

    def _batch(self, prompts: list[list[int]], variant: Variant) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The rows, which take the prompts in turn; with a mask where one is shorter than the variant's."""
        if all(len(prompt) == variant.prompt_tokens for prompt in prompts):
            rows = [prompts[row % len(prompts)] for row in range(variant.batch_size)]
            return torch.tensor(rows, device=self.device_type), None
        return self._padded(prompts, variant)

    def _padded(self, prompts: list[list[int]], variant: Variant) -> tuple[torch.Tensor, torch.Tensor]:
        pad = self._model.config.pad_token_id
        return padded(prompts, variant.batch_size, variant.prompt_tokens, pad, self.device_type)


def padded(
    prompts: Sequence[Sequence[int]], rows: int, width: int, pad_token_id: int, device: object
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both of shape (rows, width), padded on the left: decoders go on at the right.

    BLOOM's position bias follows from the distance of positions, and what is masked has no weight, so that each prompt
    is completed as if alone. In a batch with too few prompts rows take them in turn.
    Raises UserError if there are no prompts or too many, or one is empty or too long.
    """
    if not 1 <= len(prompts) <= rows:
        raise UserError(f"a batch of {len(prompts)} prompts, where the shape has room for 1 to {rows}")
    ids = torch.full((rows, width), pad_token_id, dtype=torch.long)
    mask = torch.zeros((rows, width), dtype=torch.long)
    for row in range(rows):
        prompt = prompts[row % len(prompts)]
        if not 1 <= len(prompt) <= width:
            raise UserError(f"a prompt of {len(prompt)} tokens, where the shape has room for 1 to {width}")
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)
