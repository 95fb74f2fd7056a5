"""What was asked of a session, checked: pytest's options and those of ``gaudi-perf complete`` fill it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from gaudi_perf.accelerators.base import Accelerator
from gaudi_perf.protocol import Weights
from gaudi_perf.stores.models import Catalogue
from gaudi_perf.vocabulary.architectures import Architecture
from gaudi_perf.vocabulary.configuration import Case, Configuration, Mode
from gaudi_perf.vocabulary.dataset import Dataset
from gaudi_perf.vocabulary.gaudi_options import GaudiOptions
from gaudi_perf.vocabulary.metrics import LATENCY, TOLERANCES, Metric
from gaudi_perf.vocabulary.models import Model, Scale, bloomz
from gaudi_perf.vocabulary.workload import NEW_TOKENS, OF_DATASET, Dtype, Workload
from gaudi_perf.workers.controller.hosts import Hosts
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.controller.plan import Deadlines, MeasurementPlan

if TYPE_CHECKING:
    from gaudi_perf.judging import Rules

MOST_RUNS = 20


@dataclass(frozen=True, kw_only=True)
class DatasetSettings:
    """The dataset to complete, or its first ``limit`` prompts, in which shape, and where completions go. The default
    shape is that of the article's script.
    """

    dataset: Dataset
    prompt_tokens: int = 16
    new_tokens: int = 50
    batch_size: int = 8
    limit: int | None = None
    directory: Path = Path("completions")

    def path(self, case: Case) -> Path:
        """Where the completions of a case go."""
        return self.directory / self.dataset.label.replace("/", "--") / f"{case.configuration.id}.jsonl"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked for; the options of pytest say what each is.

    Attributes:
        catalogue: the models that have a name.
        models: those of --model, which the catalogue knows; empty for BLOOMZ's.
        workloads: those of --workload, each as the fields of ``Workload`` that it names.
        devices: device counts of the matrix; ``modes`` are its modes.
        runs: fresh worker groups per case (of each stack, side by side); the most of them if ``as_it_takes``.
        as_it_takes: whether a case gets as many runs as its verdict takes.
        budget_s: time for all the runs of the session, in seconds, if ``as_it_takes``; None for no limit.
        baseline: how the workers of the other stack are started, side by side; else None.
        rounds_in_turns: whether both stacks live at once and take their rounds in turns.
        tolerances: 0.05 for 5 %.
        references: the file of completions that real weights must give.
    """

    accelerator: Accelerator
    scale: Scale
    baselines_directory: Path
    results_directory: Path
    catalogue: Catalogue = field(default_factory=Catalogue)
    models: tuple[Model, ...] = ()
    weights: Weights = field(default_factory=Weights)
    dtype: Dtype = "bfloat16"
    new_tokens: int = NEW_TOKENS
    workloads: tuple[Mapping[str, Any], ...] = ({},)
    gaudi_options: GaudiOptions = field(default_factory=GaudiOptions)
    devices: tuple[int, ...] = (1, 8)
    modes: tuple[Mode, ...] = ("graphs", "eager")
    hosts: Hosts | None = None
    runs: int = 1
    as_it_takes: bool = False
    budget_s: float | None = None
    candidate: Launch = field(default_factory=Launch)
    baseline: Launch | None = None
    rounds_in_turns: bool = False
    plan: MeasurementPlan = field(default_factory=MeasurementPlan)
    deadlines: Deadlines = field(default_factory=Deadlines)
    against: str = ""
    refresh_baselines: bool = False
    accept_regression: str = ""
    require_baseline: bool = False
    tolerances: Mapping[Metric, float] = field(default_factory=lambda: dict(TOLERANCES))
    gates: frozenset[Metric] = frozenset({LATENCY})
    html_file: Path | None = None
    markdown_file: Path | None = None
    dataset: DatasetSettings | None = None
    references: Path = Path("reference_completions.json")

    @property
    def rules(self) -> Rules:
        """By which rules cases are judged."""
        from gaudi_perf.judging import Rules  # with numpy, which collecting tests does without

        return Rules(tolerances=self.tolerances, gates=self.gates)

    @property
    def matrix(self) -> Sequence[Model]:
        """The models that tests are parametrized with."""
        return self.models or bloomz()

    def cases(self, configurations: Iterable[Configuration]) -> list[Case]:
        """Every configuration with every workload of the options, those of a configuration one after the other."""
        return [self.case(one, None, **fields) for one in configurations for fields in self.workloads]

    def built(self, case: Case) -> Architecture:
        """What the model of a case is made of."""
        return self.catalogue.model(case.configuration.model).at(case.scale)

    def case(self, configuration: Configuration, workload: Workload | None = None, **fields: Any) -> Case:
        """The case of a configuration with what was asked for.
        Raises UserError if the model's family has no option of --gaudi-options.

        Args:
            configuration: model, devices, graphs, KV cache.
            workload: the whole workload, whatever the options say.
            fields: of ``Workload``; they go before those of the options.
        """
        if workload is None:
            named = self.workloads[0] if len(self.workloads) == 1 else {}
            workload = Workload(**{"new_tokens": self.new_tokens, "dtype": self.dtype, **named, **fields})
        model, options = self.catalogue.model(configuration.model), GaudiOptions()
        if self.accelerator.gaudi_options:
            options = model.gaudi_options_with(self.gaudi_options, "--gaudi-options").in_effect(
                graphs=configuration.graphs,
                kv_cache=configuration.kv_cache,
                dtype=workload.dtype,
                padded=workload.of_dataset or len(workload.prompts) > 1,
            )
        return Case(
            configuration=configuration,
            architecture=model.digest_at(self.scale),
            gaudi_options=options if options.on else UNSET,
            accelerator=self.accelerator.kind,
            workload=workload,
            scale=self.scale,
            weights=self.weights.label,
        )

    def dataset_case(self, configuration: Configuration) -> Case:
        """The same for completing the dataset, which stands for the prompt."""
        from gaudi_perf.workers.controller.completing import dataset_case  # with numpy

        asked = self.dataset
        assert asked is not None, "no dataset was named"
        shape = {"prompt_tokens": asked.prompt_tokens, "new_tokens": asked.new_tokens, "batch_size": asked.batch_size}
        return dataset_case(self.case(configuration, None, prompt=OF_DATASET, **shape), asked.dataset)
