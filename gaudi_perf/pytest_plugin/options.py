"""The options of the suite. Each has an environment variable of the same meaning; the option wins."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gaudi_perf.accelerators import accelerator_named, accelerator_names
from gaudi_perf.accelerators.base import Emulation
from gaudi_perf.session import values
from gaudi_perf.session.settings import MOST_RUNS, DatasetSettings, Settings
from gaudi_perf.stores.models import Catalogue
from gaudi_perf.stores.resolution import check_against
from gaudi_perf.vocabulary.configuration import MODES
from gaudi_perf.vocabulary.dataset import Dataset
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import percent_set, short
from gaudi_perf.vocabulary.gaudi_options import parsed_options
from gaudi_perf.vocabulary.metrics import LATENCY, RUNS_FOR_BASELINES, TITLES, TOLERANCES
from gaudi_perf.vocabulary.models import SCALES
from gaudi_perf.vocabulary.workload import DTYPES
from gaudi_perf.workers.controller.hosts import LAUNCHERS, Hosts, read_hostfile
from gaudi_perf.workers.controller.launch import Launch, stack_launch
from gaudi_perf.workers.controller.plan import Deadlines, MeasurementPlan

SETTINGS_KEY = pytest.StashKey[Settings]()


def _table() -> dict[str, list[tuple[str, str, Callable[[str], Any], str]]]:
    """The options by the title of their group: flag, name of the value (none for a switch), its parser, help."""
    names, shape, plan, switch = accelerator_names(), DatasetSettings, MeasurementPlan, values.flag
    count, seconds, listed = values.positive_integer, values.positive_number, ", ".join
    defaults = ", ".join(f"{metric} {percent_set(tolerance)}%" for metric, tolerance in TOLERANCES.items())
    # fmt: off
    return {
        "what is measured": [
            ("--accelerator", "NAME", values.choice(names),
             f"What to measure on: {listed(names)}. 'auto' (default) takes the first that is there; the CPU "
             "always is."),
            ("--model", "MODEL[,MODEL...]", values.names,
             "Models of the matrix: names of the catalogue (the suite's, and models.toml of the project), directories "
             "of checkpoints, or repositories of the hub (default: BLOOMZ's three). docs/models.md."),
            ("--devices", "N[,N...]", values.device_counts,
             "Device counts of the matrix (default: 1,8). Cases that need more devices than there are, are "
             "skipped; on the CPU, naming a count starts that many processes."),
            ("--modes", "MODE[,MODE...]", values.modes,
             f"Modes of the matrix: {listed(MODES)} (default: graphs,eager); 'compile' is torch.compile in place of "
             "graphs. docs/workloads.md."),
            ("--hostfile", "FILE", values.file,
             "Hosts with the devices of cases that need several, in DeepSpeed's format (lines like 'worker-0 "
             "slots=8'); the first is this machine. docs/devices.md."),
            ("--launcher", "NAME", values.choice(LAUNCHERS),
             f"How DeepSpeed starts processes on several hosts: {listed(LAUNCHERS)} (default: "
             f"{Hosts.launcher})."),
            ("--scale", "SCALE", values.choice(SCALES),
             "'full': the published shapes; 'standin': small shapes of the same architecture, for machines without "
             "an accelerator. Default: standin on the CPU and on the emulated Gaudi, full elsewhere."),
            ("--weights", "WEIGHTS", values.weights,
             "'dummy' (default): values generated quickly, since latency does not depend on them; 'hub': the model's "
             "repository on the Hugging Face hub; or a directory with config.json, *.safetensors and the "
             "tokenizer."),
            ("--dtype", "DTYPE", values.choice(DTYPES),
             f"Type of weights and activations: {listed(DTYPES)} (default: {Settings.dtype})."),
            ("--workload", "WORKLOAD[;...]", values.workloads,
             "What is generated, as batch=4,prompt=1024,new=256,dtype=fp32: prompts at once, tokens of each prompt, "
             "new tokens, type; beams=4 or contrastive=0.6:4 for a search that is not greedy. What is not named is the "
             "default; ';' separates several. docs/workloads.md."),
            ("--gaudi-options", "OPTION[,...]", parsed_options,
             "On Gaudi, options of optimum-habana that are not those of the model's family, as "
             "reuse_cache,bucket_size=128,bucket_internal,trim_logits=no; of no effect elsewhere. docs/models.md."),
            ("--new-tokens", "N", count,
             f"Tokens to generate in a round (default: {Settings.new_tokens}, as in the article)."),
            ("--fp8-config", "FILE", values.file,
             "Settings of neural-compressor-pt that go before the suite's, as JSON, for FP8 on Gaudi. docs/fp8.md."),
            ("--emulated-synapse", "RELEASE", str,
             f"The SynapseAI release that an emulated Gaudi pretends to have (default: {Emulation.synapse})."),
            ("--emulated-faults", "FILE", values.file,
             "What goes wrong with an emulated Gaudi, as JSON: slowness, throttling, crashes; "
             "docs/emulated_gaudi.md."),
        ],
        "how much is measured": [
            ("--runs", "N", values.runs,
             "Runs of each case (and stack), every one in a fresh worker group: runs, not rounds, are the unit of "
             f"evidence (default: {Settings.runs}; {RUNS_FOR_BASELINES} with --refresh-baselines). 'auto': as many "
             "as the verdict takes."),
            ("--max-runs", "N", count, f"With --runs auto: the most runs of a case (default: {MOST_RUNS})."),
            ("--max-minutes", "MINUTES", seconds,
             "With --runs auto: time for the runs of all cases (default: no limit)."),
            ("--rounds", "N", count,
             f"Timed generations of a run, as far as the time budget goes (default: {plan.rounds})."),
            ("--warm-up-limit", "N", count,
             f"Most rounds before those that count; warm-up ends when steady (default: {plan.warm_up_limit})."),
            ("--time-budget", "SECONDS", seconds,
             f"Time for warm-up and rounds of a case in a run (default: {plan.budget_s:g}). At least three rounds "
             "are measured."),
            ("--start-deadline", "SECONDS", seconds,
             f"How long a worker may take to start (default: {Deadlines.start:g})."),
            ("--load-deadline", "SECONDS", seconds,
             f"How long a model may take to load (default: {Deadlines.load:g})."),
            ("--round-deadline", "SECONDS", seconds,
             "How long one generation may take, compilation of its graphs included (default: "
             f"{Deadlines.round:g}). A worker that is silent for longer is ended and its case fails."),
        ],
        "two stacks side by side": [
            ("--candidate-stack", "NAME", str,
             "Measure on this stack of --stacks, in turns with --baseline-stack (ABBA), and compare the two. "
             "Nothing detects smaller slowdowns."),
            ("--baseline-stack", "NAME", str, "The stack of --stacks that the candidate is compared with."),
            ("--stacks", "FILE", values.path,
             "Lists stacks, as TOML: [[stack]] with a name, the path of a python or a command that runs one (as in "
             "a container), and an environment table (default: stacks.toml of the project)."),
            ("--turns", "TURNS", values.choice(("runs", "rounds")),
             "What the two stacks take in turns: 'runs' (default), one worker group at a time; or 'rounds', with "
             "both alive, which cancels more of the machine's noise. Only for the CPU, which both can use at once."),
        ],
        "what it is compared with": [
            ("--baselines-dir", "DIR", values.directory,
             "Where baselines are stored (default: baselines/ of the project)."),
            ("--against", "BASELINE", str,
             "Compare with this baseline: a version (1.22.0), a stack (synapse-1.22.0), 'published', or a "
             "directory of results. Default: the same stack version if stored, and the newest earlier one."),
            ("--tolerance", "SHARE", values.tolerances,
             f"Largest slowdown that is accepted, as 0.05 or 5%% (default: {TOLERANCES[LATENCY] * 100:g}%%); that of "
             f"other metrics by name, as latency=5%%,memory=2%% (defaults: {defaults})."),
            ("--gate", "METRIC[,METRIC...]", values.gates,
             f"Metrics whose regression fails a test: {listed(TITLES)}, or 'all' (default: latency). The others "
             "are judged all the same, and shown when they regress."),
            ("--require-baseline", "", switch,
             "Fail cases without a clear verdict: NO BASELINE and INCONCLUSIVE, and all where no device is found."),
            ("--refresh-baselines", "", switch,
             "Store what is measured as the baseline of this stack. Nothing gets worse silently: a slower level "
             "needs --accept-regression."),
            ("--accept-regression", "REASON", values.reason,
             "With --refresh-baselines: accept slower levels for this reason, which is stored with date and ratio."),
            ("--results-dir", "DIR", values.directory,
             "Where every run is kept as a document (default: results/ of the project). From ten sessions of a "
             "case on, the noise is estimated from them."),
        ],
        "what is shown": [
            ("--perf-html", "FILE", values.new_file, "Write the session as one page that needs no network."),
            ("--perf-markdown", "FILE", values.new_file, "Write a short summary for a CI job or a pull request."),
        ],
        "datasets": [
            ("--dataset", "DATASET", str, "A dataset of the hub, or a CSV, JSON Lines, Parquet or text file."),
            ("--dataset-configuration", "NAME", str, "A configuration of a hub's dataset."),
            ("--dataset-column", "NAME", str, "Default: the first column of strings."),
            ("--dataset-split", "NAME", str, "Default: test, validation or train."),
            ("--dataset-prompt-tokens", "N", count,
             f"Prompts are cut to their first N tokens (default: {shape.prompt_tokens})."),
            ("--dataset-new-tokens", "N", count, f"Tokens that each prompt gets (default: {shape.new_tokens})."),
            ("--dataset-batch-size", "N", count, f"Prompts at once (default: {shape.batch_size})."),
            ("--dataset-limit", "N", count, "Complete the first N prompts only (default: all)."),
            ("--completions-dir", "DIR", values.directory,
             "Where completions go (default: completions/ of the project)."),
            ("--reference-completions", "FILE", values.path,
             "Completions that real weights must give (default: the article's, "
             "perf_tests/reference_completions.json)."),
        ],
    }
    # fmt: on


class Option(NamedTuple):
    """An option of pytest; without a metavar, it is a flag. ``parse`` raises ValueError with the end of a sentence."""

    group: str
    flag: str
    metavar: str
    parse: Callable[[str], Any]
    about: str

    @property
    def variable(self) -> str:
        """Its environment variable, for instance ``GAUDI_PERF_NEW_TOKENS`` of ``--new-tokens``."""
        return "GAUDI_PERF_" + self.flag.lstrip("-").replace("-", "_").upper()

    def given(self, config: pytest.Config) -> tuple[str, str] | None:
        """By what it was given, and the text."""
        if (text := config.getoption(self.flag)) is not None:
            return self.flag, text
        text = os.environ.get(self.variable)
        return (self.variable, text) if text else None


@functools.cache
def all_options() -> list[Option]:
    """Every option, in the order in which groups and options are shown."""
    return [Option(group, *row) for group, rows in _table().items() for row in rows]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, in groups that ``pytest --help`` shows."""
    for option in all_options():
        kind = {"metavar": option.metavar} if option.metavar else {"action": "store_const", "const": "1"}
        text = f"{option.about} [{option.variable}{'' if option.metavar else '=1'}]"
        parser.getgroup(f"gaudi-perf: {option.group}").addoption(option.flag, default=None, help=text, **kind)


class Given(dict[str, Any]):
    """What was given, by option: on the command line, and in environment variables where that is silent."""

    def __init__(self, config: pytest.Config) -> None:
        """Raises UserError where a value makes no sense; the sentence says what the option takes."""
        super().__init__()
        self._texts: dict[str, str] = {}
        for option in all_options():
            if (given := option.given(config)) is not None:
                name, text = given
                self._texts[option.flag] = f"{name} is {short(text)!r}"
                try:
                    self[option.flag] = option.parse(text)
                except ValueError as error:
                    raise self.mistake(option.flag, str(error)) from None

    def mistake(self, flag: str, words: str) -> UserError:
        """What is wrong with a value that was given."""
        return UserError(f"{self._texts[flag]}: {words}")

    def those(self, *names: str, **flags: str) -> dict[str, Any]:
        """The values of the options that were given, by field: defaults stand where the fields are.

        ``names`` are fields that are called as their options are, ``flags`` the options of others.
        """
        flags |= {name: f"--{name.replace('_', '-')}" for name in names}
        return {name: self[flag] for name, flag in flags.items() if flag in self}


def pytest_configure(config: pytest.Config) -> None:
    """Check what was asked for before anything is collected; where nothing was, nothing is done."""
    # A case that is skipped or fails has no latencies to show.
    config.addinivalue_line(
        "filterwarnings", "ignore:Benchmark fixture was not used:pytest_benchmark.logger.PytestBenchmarkWarning"
    )
    try:
        if any(option.given(config) for option in all_options()):
            settings_of(config)
    except UserError as error:
        from gaudi_perf.reports.text import harmless

        raise pytest.UsageError(harmless(str(error))) from None


def settings_of(config: pytest.Config) -> Settings:
    """What was asked for, by the command line and the environment.

    Raises UserError if a value is out of range, or two contradict each other; the sentence names the options.
    """
    if SETTINGS_KEY not in config.stash:
        try:
            config.stash[SETTINGS_KEY] = _settings(Given(config), config.rootpath)
        except OSError as error:  # a name that is too long, or lies where this user may not look
            raise UserError(f"{short(str(error.filename))}: cannot be used ({error.strerror})") from None
    return config.stash[SETTINGS_KEY]


def _settings(given: Given, project: Path) -> Settings:
    refresh, accept_regression = given.get("--refresh-baselines", False), given.get("--accept-regression", "")
    if accept_regression and not refresh:
        raise UserError("--accept-regression says why a slower baseline is stored: it needs --refresh-baselines")
    runs, most, minutes = given.get("--runs"), given.get("--max-runs"), given.get("--max-minutes")
    auto = runs == values.AUTO
    if auto and refresh:
        raise UserError("--runs auto stops when a verdict is clear: give --refresh-baselines a number of runs")
    if not auto and (most is not None or minutes is not None):
        raise UserError("--max-runs and --max-minutes are limits of --runs auto: add it, or leave them out")
    candidate, baseline = _stacks(given, project)
    baselines = given.get("--baselines-dir", project / "baselines")
    if given.get("--baselines-dir") and not refresh and not baselines.is_dir():
        raise given.mistake("--baselines-dir", "there is no such directory")
    against = given.get("--against", "")
    check_against(against, baselines)
    if baseline is not None and (refresh or against):
        raise UserError(
            "--candidate-stack is compared with --baseline-stack: leave out --against and --refresh-baselines"
        )
    rounds_in_turns = given.get("--turns", "runs") == "rounds"
    if rounds_in_turns and baseline is None:
        raise UserError("--turns rounds: two stacks take turns: give --candidate-stack and --baseline-stack")
    emulation = Emulation(**given.those(synapse="--emulated-synapse", faults="--emulated-faults"))
    devices = given.get("--devices")
    hostfile = given.get("--hostfile")
    hosts = Hosts(read_hostfile(hostfile), given.get("--launcher", Hosts.launcher)) if hostfile else None
    processes = hosts.devices if hosts is not None else max(devices or (1,))
    accelerator = accelerator_named(given.get("--accelerator", "auto"), emulation, processes)
    if config := given.get("--fp8-config"):
        if not accelerator.fp8_library:
            raise given.mistake("--fp8-config", f"FP8 on {accelerator.name} takes no settings: leave it out")
        accelerator.fp8_config = config
    if not accelerator.emulated:
        for flag in ("--emulated-synapse", "--emulated-faults"):
            if given.get(flag):
                raise given.mistake(flag, f"{accelerator.name} is not emulated: add --accelerator emulated-gaudi2")
    elif hosts is not None and len(hosts.hosts) > 1:
        named = f"{len(hosts.hosts)} are named: leave out --hostfile"
        raise UserError(f"{accelerator.name} is pretended by files of one host, and {named}")
    if rounds_in_turns and not accelerator.shared:
        raise UserError(f"--turns rounds: {accelerator.name} is held by one worker group at a time: leave it out")
    if auto or runs is None:
        runs = (most or MOST_RUNS) if auto else (RUNS_FOR_BASELINES if refresh else Settings.runs)
    for flag, name in (("--new-tokens", "new_tokens"), ("--dtype", "dtype")):
        if given.get(flag) and any(name in fields for fields in given.get("--workload", ())):
            raise UserError(f"{flag} and --workload both say it: leave one of them out")
    catalogue = Catalogue(project)
    return Settings(
        accelerator=accelerator,
        catalogue=catalogue,
        models=tuple(catalogue.model(name) for name in given.get("--model", ())),
        scale=given.get("--scale", accelerator.default_scale),
        baselines_directory=baselines,
        results_directory=given.get("--results-dir", project / "results"),
        hosts=hosts,
        runs=runs,
        as_it_takes=auto,
        budget_s=None if minutes is None else 60 * minutes,
        candidate=candidate,
        baseline=baseline,
        rounds_in_turns=rounds_in_turns,
        plan=MeasurementPlan(**given.those("rounds", "warm_up_limit", budget_s="--time-budget")),
        deadlines=Deadlines(**given.those(start="--start-deadline", load="--load-deadline", round="--round-deadline")),
        against=against,
        refresh_baselines=refresh,
        accept_regression=accept_regression,
        tolerances={**TOLERANCES, **given.get("--tolerance", {})},
        dataset=_dataset(given, project) if given.get("--dataset") else None,
        references=given.get("--reference-completions", project / "perf_tests" / "reference_completions.json"),
        **given.those("weights", "dtype", "new_tokens", "devices", "modes", workloads="--workload"),
        **given.those("require_baseline", "gaudi_options", gates="--gate"),
        **given.those(html_file="--perf-html", markdown_file="--perf-markdown"),
    )


def _dataset(given: Given, project: Path) -> DatasetSettings:
    what = {"source": "--dataset", "configuration": "--dataset-configuration"}
    what |= {"column": "--dataset-column", "split": "--dataset-split"}
    shape = {name: f"--dataset-{name.replace('_', '-')}" for name in ("prompt_tokens", "new_tokens", "batch_size")}
    return DatasetSettings(
        dataset=Dataset(**given.those(**what)),
        directory=given.get("--completions-dir", project / "completions"),
        **given.those(**shape, limit="--dataset-limit"),
    )


def _stacks(given: Given, project: Path) -> tuple[Launch, Launch | None]:
    """How the workers of the candidate and of the baseline are started; without stacks, by this interpreter."""
    names = {flag: given.get(flag, "") for flag in ("--candidate-stack", "--baseline-stack")}
    named = [flag for flag, name in names.items() if name]
    if not named:
        return Launch(), None
    if len(named) == 1:
        (missing,) = set(names) - set(named)
        raise UserError(f"{named[0]} {names[named[0]]}: two stacks are measured side by side: give {missing}, too")
    file = given.get("--stacks", project / "stacks.toml")
    candidate, baseline = (stack_launch(name, file, flag) for flag, name in names.items())
    if candidate == baseline:
        raise UserError(f"--candidate-stack and --baseline-stack are both {candidate.name}: name two stacks")
    return candidate, baseline
