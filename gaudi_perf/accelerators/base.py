"""What an accelerator is to the suite. Adding one is one file with two classes, and one line in ``engines``.

``Accelerator`` is the controller's side: it runs in pytest's process and never imports torch. ``Engine`` is the
worker's side: it holds the model. Both live in the file of their accelerator, so torch is imported inside functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from gaudi_perf.generation.prompts import Prompt
from gaudi_perf.protocol import GroupSpec, Variant
from gaudi_perf.vocabulary.configuration import Accelerator as AcceleratorName
from gaudi_perf.vocabulary.configuration import Case
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.models import Scale
from gaudi_perf.vocabulary.outputs import TokenTrace
from gaudi_perf.vocabulary.run import GraphCompilation
from gaudi_perf.vocabulary.stack import Device, Stack


@dataclass(frozen=True)
class Found:
    """Devices of this machine.

    Attributes:
        name: for instance ``gaudi2``, as in ``Device.name``.
        count: how many there are.
        memory_bytes: memory of each, in bytes, or None where unknown.
    """

    name: str
    count: int
    memory_bytes: int | None = None


class Accelerator(ABC):
    """The controller's side of an accelerator. It must not import torch.

    Attributes:
        name: what ``--accelerator`` takes.
        kind: the kind of accelerator that it is to its software.
        default_scale: the scale unless another is asked for.
        automatic: whether ``--accelerator auto`` may take it.
        shared: whether worker groups of two stacks may hold it at once.
        none_found: why nothing can be measured where ``find`` finds nothing.
        telemetry: the source that reads its devices (accelerators/telemetry), or empty.
        batches_with_graphs: whether its engine completes batches of prompts with graphs, too.
        backend: the backend of torch.distributed by which several devices talk.
    """

    name: str
    kind: ClassVar[AcceleratorName]
    default_scale: ClassVar[Scale] = "full"
    automatic: ClassVar[bool] = True
    shared: ClassVar[bool] = False
    none_found: ClassVar[str] = ""
    telemetry: ClassVar[str] = ""
    batches_with_graphs: ClassVar[bool] = True
    backend: ClassVar[str] = "gloo"

    @abstractmethod
    def find(self) -> Found | None:
        """The devices of this machine, or None if there are none."""

    @abstractmethod
    def environment(self, group: GroupSpec, directory: Path) -> Mapping[str, str]:
        """Environment variables that must be set before the worker imports anything.

        Args:
            group: what the worker will hold.
            directory: a private directory of the worker group, which is removed with it.
        """

    def of_stack(self, environment: Mapping[str, str]) -> Accelerator:
        """The accelerator as a stack with this environment has it; only an emulated one pretends otherwise."""
        return self

    def announce(self, case: Case) -> None:
        """Called before a case is prepared; most accelerators need not know."""
        return None

    def cannot_run(self, variant_graphs: bool, devices: int) -> str:
        """Why this machine cannot run such a configuration for another reason than devices or memory; else empty."""
        return ""

    @abstractmethod
    def engine(self) -> Engine:
        """The worker's side; called in the worker only."""


class Engine(ABC):
    """The worker's side of an accelerator: holds one model, or a rank's part of it, and generates with it."""

    def import_for_ranks(self) -> None:
        """Where the model is spread over several ranks: import what is needed, before they meet.

        Raises:
            UserError: something is not installed.
        """
        raise UserError("this accelerator runs on one device only")

    @abstractmethod
    def load(self, group: GroupSpec, progress: Callable[[str], None]) -> None:
        """Load the model of the group; ``progress`` takes a sentence for people.

        Raises:
            UserError: the weights or the tokenizer are not there or not readable.
        """

    @abstractmethod
    def prompt(self) -> Prompt:
        """The prompt for the loaded model.

        Raises:
            UserError: the tokenizer makes another number of tokens of it than the workload says.
        """

    @abstractmethod
    def device(self) -> Device:
        """The device, once loaded."""

    @abstractmethod
    def stack(self) -> Stack:
        """Versions and effective settings, once loaded."""

    @abstractmethod
    def prepare(self, variant: Variant) -> None:
        """Generate in this variant from now on. Weights stay; what ``graphs`` needs is compiled in the first rounds."""

    @abstractmethod
    def generate(self, prompt_ids: list[int], on_token: Callable[[], None] | None = None) -> list[int]:
        """One generation of the prepared variant, complete on the device when it returns.

        Args:
            prompt_ids: token ids of the prompt.
            on_token: called after every new token once the token is known on the host; giving it may slow the
                generation down, so timed rounds do not.

        Returns:
            The new token ids, exactly as many as the variant asks for.
        """

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has done all that was asked of it."""

    @abstractmethod
    def reset_peak_memory(self) -> None:
        """Forget the highest memory use so far, where the system can."""

    @abstractmethod
    def peak_memory_bytes(self) -> int | None:
        """Highest memory use since the reset (of the device, on the CPU of the process), in bytes."""

    def memory_bandwidth(self) -> float | None:
        """Bytes a second that the device reads from a block as large as the weights; None where it is not measured."""
        return None

    def trace(self, prompt_ids: list[int], token_ids: list[int], plain: bool) -> TokenTrace | None:
        """One generation led along given tokens, never a timed one, and the logits of its steps.

        Args:
            prompt_ids: token ids of the prompt.
            token_ids: the new tokens to follow, as many as the variant generates.
            plain: by one eager pass over prompt and tokens instead of the prepared variant's own way (its graphs, its
                cache).

        Returns:
            The trace, or None where this engine cannot tell.

        Raises:
            NotNumbersError: a logit is infinite, or no number.
        """
        return None

    def pass_alone(self, prompt_ids: list[int]) -> bool:
        """One eager forward pass of this rank's part of the model without collectives; what comes out means nothing.

        It may still run on the device when it returns.

        Returns:
            Whether this engine can.
        """
        return False

    def complete(self, prompts: list[list[int]]) -> list[list[int]]:
        """Complete several prompts in one batch of the prepared variant, complete on the device when it returns.

        Args:
            prompts: token ids of each, at most ``prompt_tokens`` of the variant; no more prompts than its batch size.

        Returns:
            The new token ids of each prompt, as many as the variant asks for.

        Raises:
            UserError: this engine completes no batches in this variant.
        """
        raise UserError("this accelerator's engine completes no datasets yet: use another with --accelerator")

    def graph_compilation(self) -> GraphCompilation | None:
        """What the prepared variant's graphs cost so far, or None if it has none."""
        return None

    def begin_rounds(self) -> None:
        """Called before timed rounds: remember the counters that tell whether they are valid."""
        return None

    def problems(self) -> list[str]:
        """Why the rounds since ``begin_rounds`` must not be judged, in words; empty if they may."""
        return []

    def close(self) -> None:
        """Called before ranks part: let go of what holds on to their group (collectives in captured graphs do)."""
        return None
