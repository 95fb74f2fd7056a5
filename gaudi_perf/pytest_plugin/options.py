"""The options of the suite. Each has an environment variable of the same meaning; the option wins."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gaudi_perf.accelerators import accelerator_named, accelerator_names
from gaudi_perf.accelerators.hpu.emulated import Emulation
from gaudi_perf.session import values
from gaudi_perf.session.settings import MOST_RUNS, RUNS_FOR_BASELINES, DatasetSettings, Settings
from gaudi_perf.stores.resolution import check_against
from gaudi_perf.vocabulary.dataset import Dataset
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.metrics import TITLES, TOLERANCES
from gaudi_perf.vocabulary.models import SCALES
from gaudi_perf.vocabulary.workload import DTYPES
from gaudi_perf.workers.controller.hosts import LAUNCHERS, Hosts, read_hosts
from gaudi_perf.workers.controller.launch import Launch, stack_launch
from gaudi_perf.workers.controller.plan import Deadlines, Plan

SETTINGS_KEY = pytest.StashKey[Settings]()


@dataclass(frozen=True)
class Option:
    """An option of pytest.

    Attributes:
        metavar: what its value is called; empty for an option without one.
        about: its help.
        parse: what its value means; raises ValueError with the end of a sentence.
    """

    flag: str
    metavar: str
    about: str
    parse: Callable[[str], Any] = str

    @property
    def variable(self) -> str:
        """Its environment variable, for instance ``GAUDI_PERF_NEW_TOKENS`` of ``--new-tokens``."""
        return "GAUDI_PERF_" + self.flag.lstrip("-").replace("-", "_").upper()


def _groups() -> dict[str, list[Option]]:
    names = accelerator_names()
    percentages = ", ".join(f"{metric} {tolerance * 100:.0f}%%" for metric, tolerance in TOLERANCES.items())
    count, seconds, shape = values.positive_integer, values.positive_number, DatasetSettings
    return {
        "what is measured": [
            Option(
                "--accelerator",
                "NAME",
                f"What to measure on: {', '.join(names)}. 'auto' (default) takes the first that is there; the CPU "
                "always is.",
                values.choice(names),
            ),
            Option(
                "--devices",
                "N[,N...]",
                "Device counts of the matrix (default: 1,8). Cases that need more devices than there are, are skipped; "
                "on the CPU, naming a count starts that many processes.",
                values.device_counts,
            ),
            Option(
                "--hostfile",
                "FILE",
                "Hosts with the devices of cases that need several, in DeepSpeed's format (lines like 'worker-0 "
                "slots=8'); the first is this machine. docs/devices.md.",
                values.file,
            ),
            Option(
                "--launcher",
                "NAME",
                f"How DeepSpeed starts processes on several hosts: {', '.join(LAUNCHERS)} (default: {Hosts.launcher}).",
                values.choice(LAUNCHERS),
            ),
            Option(
                "--scale",
                "SCALE",
                "'full': the published shapes; 'standin': small shapes of the same architecture, for machines without "
                "an accelerator. Default: standin on the CPU and on the emulated Gaudi, full elsewhere.",
                values.choice(SCALES),
            ),
            Option(
                "--weights",
                "WEIGHTS",
                "'dummy' (default): values made up at once, since latency does not depend on them; 'hub': the model's "
                "repository on the Hugging Face hub; or a directory with config.json, *.safetensors and the tokenizer.",
                values.weights,
            ),
            Option(
                "--dtype",
                "DTYPE",
                f"Type of weights and activations: {', '.join(DTYPES)} (default: bfloat16).",
                values.choice(DTYPES),
            ),
            Option(
                "--new-tokens",
                "N",
                f"Tokens of a round (default: {Settings.new_tokens}, as in the article).",
                count,
            ),
            Option(
                "--emulated-synapse",
                "RELEASE",
                "The SynapseAI release that an emulated Gaudi pretends to have (default: 1.24.0).",
            ),
            Option(
                "--emulated-faults",
                "FILE",
                "Faults of an emulated Gaudi, as JSON: slowness, throttling, crashes (docs/emulated_gaudi.md).",
                values.file,
            ),
        ],
        "how much is measured": [
            Option(
                "--runs",
                "N",
                "Runs of each case (and stack), every one in a fresh worker group: runs, not rounds, are the unit of "
                f"evidence (default: 1; {RUNS_FOR_BASELINES} with --refresh-baselines). 'auto': as many as the verdict "
                "takes.",
                values.runs,
            ),
            Option("--max-runs", "N", f"With --runs auto: the most runs of a case (default: {MOST_RUNS}).", count),
            Option(
                "--max-minutes",
                "MINUTES",
                "With --runs auto: time for the runs of all cases (default: no limit).",
                seconds,
            ),
            Option("--rounds", "N", "Timed generations of a run, as far as the time budget goes (default: 10).", count),
            Option(
                "--warm-up-limit",
                "N",
                "Most rounds before those that count; warm-up ends when steady (default: 20).",
                count,
            ),
            Option(
                "--time-budget",
                "SECONDS",
                "Time for warm-up and rounds of a case in a run (default: 20). Three rounds are taken whatever they "
                "cost.",
                seconds,
            ),
            Option("--start-deadline", "SECONDS", "How long a worker may take to start (default: 120).", seconds),
            Option("--load-deadline", "SECONDS", "How long a model may take to load (default: 1800).", seconds),
            Option(
                "--round-deadline",
                "SECONDS",
                "How long one generation may take, compilation of its graphs included (default: 900). A worker that is "
                "silent for longer is ended and its case fails.",
                seconds,
            ),
        ],
        "two stacks side by side": [
            Option(
                "--candidate-stack",
                "NAME",
                "Measure on this stack of --stacks, in turns with --baseline-stack (ABBA), and hold one against the "
                "other. Nothing tells two stacks apart better.",
            ),
            Option("--baseline-stack", "NAME", "The stack of --stacks that the candidate is held against."),
            Option(
                "--stacks",
                "FILE",
                "Lists stacks, as TOML: [[stack]] with a name, the path of a python or a command that runs one (as in "
                "a container), and an environment table (default: stacks.toml of the project).",
                lambda text: Path(text).absolute(),
            ),
            Option(
                "--turns",
                "TURNS",
                "What the two stacks take in turns: 'runs' (default), one worker group at a time; or 'rounds', with "
                "both alive, which cancels more of the machine's noise. The CPU alone can be held by both at once.",
                values.choice(("runs", "rounds")),
            ),
        ],
        "what it is held against": [
            Option(
                "--baselines-dir",
                "DIR",
                "Where baselines are stored (default: baselines/ of the project).",
                values.new_directory,
            ),
            Option(
                "--against",
                "BASELINE",
                "Hold against this baseline: a version (1.22.0), a stack (synapse-1.22.0), 'published', or a directory "
                "of results. Default: the same stack version if stored, and the newest earlier one.",
            ),
            Option(
                "--tolerance",
                "SHARE",
                "The slowdown that nobody minds, as 0.05 or 5%% (default: 5%%); that of other metrics by name, as "
                f"latency=5%%,memory=2%% (defaults: {percentages}).",
                values.tolerances,
            ),
            Option(
                "--gate",
                "METRIC[,METRIC...]",
                f"Metrics whose regression fails a test: {', '.join(TITLES)}, or 'all' (default: latency). The others "
                "are judged all the same, and shown when they regress.",
                values.gates,
            ),
            Option(
                "--require-baseline",
                "",
                "Fail cases without a clear verdict: NO BASELINE and INCONCLUSIVE, and all where no device is found.",
            ),
            Option(
                "--refresh-baselines",
                "",
                "Store what is measured as the baseline of this stack. Nothing gets worse silently: a slower level "
                "needs --accept-regression.",
            ),
            Option(
                "--accept-regression",
                "REASON",
                "With --refresh-baselines: accept slower levels for this reason, which is stored with date and ratio.",
            ),
            Option(
                "--results-dir",
                "DIR",
                "Where every run is kept as a document (default: results/ of the project). From ten nights of a case "
                "on, they teach what noise is usual here.",
                values.new_directory,
            ),
        ],
        "what is shown": [
            Option("--perf-html", "FILE", "Write the session as one page that needs no network.", values.new_file),
            Option("--perf-markdown", "FILE", "Write a short summary for a CI job or a pull request.", values.new_file),
        ],
        "datasets": [
            Option("--dataset", "DATASET", "A dataset of the hub, or a CSV, JSON Lines, Parquet or text file."),
            Option("--dataset-configuration", "NAME", "A configuration of a hub's dataset."),
            Option("--dataset-column", "NAME", "Default: the first column of strings."),
            Option("--dataset-split", "NAME", "Default: test, validation or train."),
            Option(
                "--dataset-prompt-tokens",
                "N",
                f"Prompts are cut to N tokens (default: {shape.prompt_tokens}).",
                count,
            ),
            Option(
                "--dataset-new-tokens",
                "N",
                f"Tokens that each prompt gets (default: {shape.new_tokens}).",
                count,
            ),
            Option("--dataset-batch-size", "N", f"Prompts at once (default: {shape.batch_size}).", count),
            Option("--dataset-limit", "N", "Complete the first N prompts only (default: all).", count),
            Option(
                "--completions-dir",
                "DIR",
                "Where completions go (default: completions/ of the project).",
                values.new_directory,
            ),
            Option(
                "--reference-completions",
                "FILE",
                "Completions that real weights must give (default: the article's, "
                "perf_tests/reference_completions.json).",
                lambda text: Path(text).absolute(),
            ),
        ],
    }


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, in groups that ``pytest --help`` shows."""
    for title, options in _groups().items():
        group = parser.getgroup(f"gaudi-perf: {title}")
        for option in options:
            if option.metavar:
                text = f"{option.about} [{option.variable}]"
                group.addoption(option.flag, metavar=option.metavar, default=None, help=text)
            else:
                text = f"{option.about} [{option.variable}=1]"
                group.addoption(option.flag, action="store_true", default=None, help=text)


class Given:
    """What was given on the command line, and in environment variables where that is silent."""

    def __init__(self, config: pytest.Config) -> None:
        """Reads nothing yet."""
        self._config = config
        self._options = {option.flag: option for options in _groups().values() for option in options}

    def anything(self) -> bool:
        """Whether there is an option or a variable of the suite."""
        return any(self.raw(flag)[0] is not None for flag in self._options)

    def raw(self, flag: str) -> tuple[str | None, str]:
        """The text of an option, None where there is none, and what gave it."""
        option = self._options[flag]
        given = self._config.getoption(flag)
        if given is not None:
            return (given if option.metavar else "1"), flag
        return os.environ.get(option.variable) or None, option.variable

    def __call__(self, flag: str, default: Any = None) -> Any:
        """The value of an option.

        Raises:
            UserError: it makes no sense; the sentence says what the option takes.
        """
        option = self._options[flag]
        text, name = self.raw(flag)
        if text is None:
            return default
        try:
            return option.parse(text) if option.metavar else values.flag(text)
        except ValueError as error:
            raise UserError(f"{name} is {text!r}: {error}") from None

    def those(self, *names: str, **flags: str) -> dict[str, Any]:
        """The values of the options that were given, by field: defaults stand where the fields are.

        Args:
            names: fields that are called as their options are.
            flags: the option of each other field.
        """
        flags |= {name: f"--{name.replace('_', '-')}" for name in names}
        return {name: value for name, flag in flags.items() if (value := self(flag)) is not None}


def pytest_configure(config: pytest.Config) -> None:
    """Check what was asked for before anything is collected; where nothing was, nothing is done."""
    # A case that is skipped or fails has no latencies to show.
    config.addinivalue_line(
        "filterwarnings", "ignore:Benchmark fixture was not used:pytest_benchmark.logger.PytestBenchmarkWarning"
    )
    try:
        if Given(config).anything():
            settings_of(config)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def settings_of(config: pytest.Config) -> Settings:
    """What was asked for, by the command line and the environment.

    Raises:
        UserError: a value is out of range, or two contradict each other; the sentence names the options.
    """
    if SETTINGS_KEY not in config.stash:
        config.stash[SETTINGS_KEY] = _settings(Given(config), config.rootpath)
    return config.stash[SETTINGS_KEY]


def _settings(given: Given, project: Path) -> Settings:
    refresh, accept_regression = given("--refresh-baselines", False), given("--accept-regression", "")
    if accept_regression and not refresh:
        raise UserError("--accept-regression says why a slower baseline is stored: it needs --refresh-baselines")
    runs, most, minutes = given("--runs"), given("--max-runs"), given("--max-minutes")
    auto = runs == values.AUTO
    if auto and refresh:
        raise UserError("--runs auto stops when a verdict is clear: give --refresh-baselines a number of runs")
    if not auto and (most is not None or minutes is not None):
        raise UserError("--max-runs and --max-minutes are limits of --runs auto: add it, or leave them out")
    candidate, baseline = _stacks(given, project)
    baselines = given("--baselines-dir", project / "baselines")
    text, name = given.raw("--baselines-dir")
    if text is not None and not refresh and not baselines.is_dir():
        raise UserError(f"{name} is {text!r}: there is no such directory")
    against = given("--against", "")
    check_against(against, baselines)
    if baseline is not None and (refresh or against):
        raise UserError(
            "--candidate-stack is held against --baseline-stack: leave out --against and --refresh-baselines"
        )
    rounds_in_turns = given("--turns", "runs") == "rounds"
    if rounds_in_turns and baseline is None:
        raise UserError("--turns rounds: two stacks take turns: give --candidate-stack and --baseline-stack")
    emulation = Emulation(**given.those(synapse="--emulated-synapse", faults="--emulated-faults"))
    devices = given("--devices")
    hosts = read_hosts(given("--hostfile"), given("--launcher", Hosts.launcher))
    processes = hosts.devices if hosts is not None else max(devices or (1,))
    accelerator = accelerator_named(given("--accelerator", "auto"), emulation, processes)
    if rounds_in_turns and not accelerator.shared:
        raise UserError(f"--turns rounds: {accelerator.name} is held by one worker group at a time: leave it out")
    if auto or runs is None:
        runs = (most or MOST_RUNS) if auto else (RUNS_FOR_BASELINES if refresh else Settings.runs)
    return Settings(
        accelerator=accelerator,
        scale=given("--scale", accelerator.default_scale),
        baselines_directory=baselines,
        results_directory=given("--results-dir", project / "results"),
        hosts=hosts,
        runs=runs,
        as_it_takes=auto,
        budget_s=None if minutes is None else 60 * minutes,
        candidate=candidate,
        baseline=baseline,
        rounds_in_turns=rounds_in_turns,
        plan=Plan(**given.those("rounds", "warm_up_limit", budget_s="--time-budget")),
        deadlines=Deadlines(
            **given.those(start="--start-deadline", load="--load-deadline", round="--round-deadline"),
        ),
        against=against,
        refresh_baselines=refresh,
        accept_regression=accept_regression,
        tolerances={**TOLERANCES, **given("--tolerance", {})},
        dataset=_dataset(given, project) if given("--dataset") else None,
        references=given("--reference-completions", project / "perf_tests" / "reference_completions.json"),
        **given.those("weights", "dtype", "new_tokens", "devices", "require_baseline", gates="--gate"),
        **given.those(html_file="--perf-html", markdown_file="--perf-markdown"),
    )


def _dataset(given: Given, project: Path) -> DatasetSettings:
    what = {"source": "--dataset", "configuration": "--dataset-configuration"}
    what |= {"column": "--dataset-column", "split": "--dataset-split"}
    shape = {name: f"--dataset-{name.replace('_', '-')}" for name in ("prompt_tokens", "new_tokens", "batch_size")}
    return DatasetSettings(
        dataset=Dataset(**given.those(**what)),
        directory=given("--completions-dir", project / "completions"),
        **given.those(**shape, limit="--dataset-limit"),
    )


def _stacks(given: Given, project: Path) -> tuple[Launch, Launch | None]:
    """How the workers of the candidate and of the baseline are started; without stacks, by this interpreter.

    Raises:
        UserError: only one was named, or one cannot be started.
    """
    names = {flag: given(flag, "") for flag in ("--candidate-stack", "--baseline-stack")}
    named = [flag for flag, name in names.items() if name]
    if not named:
        return Launch(), None
    if len(named) == 1:
        (missing,) = set(names) - set(named)
        raise UserError(f"{named[0]} {names[named[0]]}: two stacks are measured side by side: give {missing}, too")
    file = given("--stacks", project / "stacks.toml")
    candidate, baseline = (stack_launch(name, file, flag) for flag, name in names.items())
    if candidate == baseline:
        raise UserError(f"--candidate-stack and --baseline-stack are both {candidate.name}: name two stacks")
    return candidate, baseline
