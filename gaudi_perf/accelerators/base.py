"""What an accelerator is to the suite: a folder with these classes, and an entry point that names the first of them.

``Accelerator`` is the controller's side: it finds devices and says what is wrong with them; it never imports torch.
``Engine`` is the worker's side: it holds the model. ``TelemetrySource`` reads the devices in a process of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from gaudi_perf.accelerators.host import failure_of
from gaudi_perf.generation.prompts import Prompt
from gaudi_perf.protocol import GroupSpec, Unquantized, Variant
from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import Accelerator as AcceleratorName
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.documents import Document, Name
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.models import Scale
from gaudi_perf.vocabulary.run import GraphCompilation, TokenTrace
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample
from gaudi_perf.vocabulary.workload import Dtype

GIB, MIB = 1 << 30, 1 << 20
NO_FP8_CACHE = "an FP8 KV cache is measured on Gaudi only: use dtype=fp8"

Status = Literal["ok", "warning", "unfit", "unknown"]
"""``warning``: latencies may suffer, or differ from what the vendor validated; ``unfit``: no result, or one that means
nothing; ``unknown``: the system does not report it."""


class Finding(Document, frozen=True):
    """A check of ``gaudi-perf doctor``, once in a diagnosis: what it found, in a clause; the remedy, if any."""

    check: Name
    status: Status
    found: str
    remedy: str = ""

    @classmethod
    def present(
        cls, check: str, found: str | None, remedy: str, missing: str = "is not installed", status: Status = "unfit"
    ) -> Finding:
        """That something is here, as it was found, or that it is missing."""
        return cls(check, "ok", found) if found else cls(check, status, missing, remedy)


class TelemetrySource(ABC):
    """Reads the devices of this host, in a process of its own. Its constructor opens the vendor's library.

    The constructor and the methods may raise whatever the library raises; the run then goes without telemetry.
    """

    @abstractmethod
    def sample(self) -> list[DeviceSample]:
        """Every device, now; in milliseconds, since it is called during the timed rounds. ``moment`` is set later."""

    @abstractmethod
    def processes(self) -> list[DeviceProcess]:
        """Every process on the devices, the suite's own ones too; called before and after the rounds, may take long."""

    def begin(self) -> None:
        """The timed rounds begin: whatever is counted from one sample to the next counts from now."""
        return None

    def notes(self) -> list[str]:
        """What cannot be known here, and what the library failed to report, in sentences for people."""
        return []

    def close(self) -> None:
        """Close the library."""
        return None


@dataclass(frozen=True)
class Emulation:
    """What emulated devices pretend: a SynapseAI release, and a file of faults (docs/emulated_gaudi.md), if any."""

    synapse: str = "1.24.0"
    faults: Path | None = None


@dataclass(frozen=True)
class Found:
    """Devices of this machine, by their name in ``Device.name``; ``memory_bytes`` is of each, None where unknown."""

    name: str
    count: int
    memory_bytes: int | None = None


class Accelerator(ABC):
    """The controller's side of an accelerator. It must not import torch.

    Attributes:
        name: what ``--accelerator`` takes, and the entry point is called.
        kind: of accelerator that it is to its software and in documents.
        preference: ``--accelerator auto`` takes the highest one that has devices; 0: it is taken by name only.
        shared: whether worker groups of two stacks may hold it at once.
        none_found: why nothing can be measured where ``find`` finds nothing.
        lists_devices: the vendor's command that lists devices, if there is one; where it fails, the driver is broken.
        passed_over: the drivers that fail, in a clause each, where ``auto`` took this accelerator instead of theirs.
        telemetry: the library that its telemetry is read with, as in ``Telemetry.source``; empty if there is none.
        emulated: whether its devices are pretended, as an ``Emulation`` says.
        batches_with_graphs: whether its engine completes batches of prompts with graphs, too.
        no_compile: why it has no mode ``compile``, in a clause; empty if it has.
        no_search: why it has no search but the greedy one, in a clause; empty if it has.
        gaudi_options: whether models have options of optimum-habana on it, which are part of a case then.
        transformers_steps: whether its graphs are transformers' own steps, with its KV cache of fixed length.
        backend: the backend of torch.distributed by which several devices talk.
        fp8_library: whose settings ``fp8_config`` names a file of; empty if FP8 takes no settings here.
    """

    name: ClassVar[str]
    kind: ClassVar[AcceleratorName]
    default_scale: ClassVar[Scale] = "full"
    preference: ClassVar[int] = 0
    shared: ClassVar[bool] = False
    none_found: ClassVar[str] = ""
    lists_devices: ClassVar[tuple[str, ...]] = ()
    passed_over: tuple[str, ...] = ()
    telemetry: ClassVar[str] = ""
    emulated: ClassVar[bool] = False
    batches_with_graphs: ClassVar[bool] = True
    no_compile: ClassVar[str] = ""
    no_search: ClassVar[str] = ""
    gaudi_options: ClassVar[bool] = False
    transformers_steps: ClassVar[bool] = True
    backend: ClassVar[str] = "gloo"
    fp8_library: ClassVar[str] = ""
    fp8_config: Path | None = None

    def __init__(self, processes: int = 1, emulation: Emulation | None = None) -> None:
        """``processes``: how many ranks may share a device that can be shared (the CPU), as if each had one."""
        self.processes = processes
        self.emulation = emulation or Emulation()

    @abstractmethod
    def find(self) -> Found | None:
        """The devices of this machine, or None if there are none."""

    def driver_failure(self) -> str:
        """How the vendor's command fails, in a clause; empty if it does not, or there is none."""
        return failure_of(*self.lists_devices) if self.lists_devices else ""

    def why_none(self) -> str:
        """Why nothing can be measured where ``find`` finds nothing, in a clause."""
        return self.driver_failure() or self.none_found or f"no {self.name} device found"

    def environment(self, group: GroupSpec, directory: Path) -> Mapping[str, str]:
        """Environment variables that must be set before the worker imports anything.

        ``directory`` is private to the worker group, and removed with it.
        Raises UserError if the worker cannot be started as asked.
        """
        return {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def of_stack(self, environment: Mapping[str, str]) -> Accelerator:
        """The accelerator as a stack with this environment has it; only an emulated one pretends otherwise."""
        return self

    def announce(self, case: Case) -> None:
        """Called before a case is prepared; most accelerators need not know."""
        return None

    def cannot_run(self, variant_graphs: bool, devices: int) -> str:
        """Why this machine cannot run such a configuration for another reason than devices or memory; else empty."""
        return ""

    def why_no_fp8(self, configuration: Configuration, built: Architecture, dtype: Dtype) -> str:
        """Why a configuration of a model that is made so cannot run in this kind of FP8 here; else empty."""
        return f"{self.name} has no FP8"

    @abstractmethod
    def engine(self) -> Engine:
        """The worker's side; called in the worker only, and the one place that may import torch."""

    def telemetry_source(self) -> TelemetrySource:
        """What reads the devices, opened; called in a process of its own, where ``telemetry`` names a library.
        Raises whatever the library raises where it, or the driver, is not there.
        """
        raise LookupError(f"{self.name} has no telemetry")

    def installed(self) -> bool:
        """Whether ``gaudi-perf doctor`` looks at it unless another is named: its software is here, or a device."""
        return self.find() is not None

    def health(self) -> Iterable[Finding]:
        """The checks of ``gaudi-perf doctor`` beside those of every host; one of the same name replaces the host's."""
        found = self.find()
        if found is None:
            return [Finding("devices", "unfit", self.why_none())]
        return [Finding("devices", "ok", f"{found.count} x {found.name}")]


class Engine(ABC):
    """The worker's side of an accelerator: holds one model, or a rank's part of it, and generates with it."""

    unquantized: Unquantized | None = None
    """What a model that is in FP8 gave before it was, once loaded."""

    def import_for_ranks(self) -> None:
        """Where the model is spread over several ranks: import what is needed, before they meet.
        Raises UserError if something is not installed.
        """
        raise UserError("this accelerator runs on one device only")

    @abstractmethod
    def load(self, group: GroupSpec, progress: Callable[[str], None]) -> None:
        """Load the model of the group; ``progress`` takes a sentence for people.
        Raises UserError if the weights or the tokenizer are not there or not readable.
        """

    @abstractmethod
    def prompt(self) -> Prompt:
        """The prompt for the loaded model.
        Raises UserError if the tokenizer makes another number of tokens of it than the workload says.
        """

    def prompt_of(self, text: str, tokens: int) -> Prompt:
        """Another prompt for the loaded model: at most so many token ids; fewer are padded on the left.
        Raises UserError if there is no tokenizer, or the engine knows one prompt only.
        """
        raise UserError("this accelerator's engine knows one prompt only: leave prompt out of the workload")

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
    def generate(self, prompts: list[list[int]], on_token: Callable[[], None] | None = None) -> list[list[int]]:
        """The new token ids of every row, exactly as many as the prepared variant asks for; the device is done then.

        Rows of the batch take the prompts in turn; one that is shorter than the variant's is padded on the left.
        ``on_token`` is called after every new token once the token is known on the host; giving it may slow the
        generation down, so timed rounds do not.
        """

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has done all that was asked of it."""

    @abstractmethod
    def reset_peak_memory(self) -> None:
        """Forget the highest memory use so far, where the system can."""

    @abstractmethod
    def peak_memory_bytes(self) -> int | None:
        """Highest memory use since the reset, of the device; on the CPU of the process."""

    def memory_bandwidth(self) -> float | None:
        """Bytes a second that the device reads from a block as large as the weights; None where it is not measured."""
        return None

    def trace(self, prompts: list[list[int]], token_ids: list[list[int]], plain: bool) -> list[TokenTrace]:
        """One generation of prompts, which rows take in turn, each led along its new tokens; for each prompt the logits
        of its steps. Empty where this engine cannot.

        It is never a timed one. ``plain``: by one eager pass over each prompt, padded as in the batch, and its tokens
        instead of the prepared variant's own way (its graphs, its cache).
        Raises NotNumbersError if a logit is infinite, or no number.
        """
        return []

    def pass_alone(self, prompt_ids: list[int]) -> bool:
        """One eager forward pass of this rank's part of the model without collectives; what comes out means nothing.

        It may still run on the device when it returns. False if this engine cannot.
        """
        return False

    def complete(self, prompts: list[list[int]]) -> list[list[int]]:
        """The new token ids of several prompts, in one batch of the prepared variant, complete when it returns.

        They have at most ``prompt_tokens`` of the variant each, and are no more than its batch size.
        Raises UserError if this engine completes no batches in this variant.
        """
        raise UserError("this accelerator's engine completes no datasets yet: use another with --accelerator")

    def graph_compilation(self) -> GraphCompilation | None:
        """What the prepared variant's graphs cost so far, or None if it has none."""
        return None

    def begin_rounds(self) -> None:
        """Called before timed rounds: remember the counters that say whether they are valid."""
        return None

    def problems(self) -> list[str]:
        """Why the rounds since ``begin_rounds`` must not be judged, in words; empty if they may."""
        return []

    def close(self) -> None:
        """Called before ranks part: let go of what holds on to their group (collectives in captured graphs do)."""
        return None
