"""``gaudi-perf complete``: every prompt of a dataset, completed in batches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gaudi_perf.cli.common import Command, baselines_option, results_option, shown
from gaudi_perf.cli.progress import told_progress
from gaudi_perf.vocabulary.errors import UserError

if TYPE_CHECKING:
    from gaudi_perf.protocol import Weights
    from gaudi_perf.vocabulary.run import Run
    from gaudi_perf.workers.controller.completing import Completed

_COUNT = click.IntRange(min=1)


@click.command(cls=Command)
@click.argument("dataset", metavar="DATASET")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Where completions go, as JSON Lines.")
@click.option("--column", metavar="NAME", default="", help="The prompts. Default: the first column of strings.")
@click.option("--split", metavar="NAME", default="", help="Default: the first of test, validation, train.")
@click.option("--configuration", metavar="NAME", default="", help="One of several configurations of a hub's dataset.")
@click.option("--limit", type=_COUNT, help="Complete this many prompts only.")
@click.option("--prompt-tokens", type=_COUNT, default=16, show_default=True, help="Prompts are cut to these.")
@click.option("--new-tokens", type=_COUNT, default=50, show_default=True, help="Tokens that each prompt gets.")
@click.option("--batch-size", type=_COUNT, default=8, show_default=True, help="Prompts at once.")
@click.option("--model", default="bloomz7b", show_default=True, help="bloomz176b, bloomz7b or bloomz560m.")
@click.option("--devices", type=_COUNT, default=1, show_default=True, help="Devices that share the model.")
@click.option("--graphs/--eager", default=True, show_default=True, help="As in pytest's cases.")
@click.option("--kv-cache/--no-kv-cache", default=True, show_default=True, help="As in pytest's cases.")
@click.option("--accelerator", default="auto", show_default=True, help="As pytest's.")
@click.option("--scale", type=click.Choice(["standin", "full"]), help="As pytest's.")
@click.option("--weights", default="dummy", show_default=True, help="dummy, hub or a directory, as pytest's.")
@click.option("--dtype", type=click.Choice(["bfloat16", "float16", "float32"]), default="bfloat16", show_default=True)
@click.option("--against", metavar="BASELINE", default="", help="The baseline to hold the throughput against.")
@baselines_option
@results_option
def complete(
    dataset: str,
    output: Path,
    column: str,
    split: str,
    configuration: str,
    limit: int | None,
    prompt_tokens: int,
    new_tokens: int,
    batch_size: int,
    model: str,
    devices: int,
    graphs: bool,
    kv_cache: bool,
    accelerator: str,
    scale: str | None,
    weights: str,
    dtype: str,
    against: str,
    baselines_dir: Path,
    results_dir: Path,
) -> None:
    """Complete the prompts of a dataset, and hold the throughput against its baselines.

    DATASET is a dataset of the Hugging Face hub, or a local CSV, JSON Lines, Parquet or text file. Batches have static
    shapes: prompts are cut to their first tokens, and shorter ones are padded. An interrupted run goes on where it
    stopped when it is called again. Beside the JSON Lines there is a text file in the layout of the article's script.

    Examples:
      gaudi-perf complete prompts.csv --output completions.jsonl
      gaudi-perf complete JulesBelveze/tldr_news --column content --weights hub --output tldr.jsonl --devices 8
    """
    from gaudi_perf.accelerators import accelerator_named
    from gaudi_perf.stores.completions import CompletionsFile, write_layout
    from gaudi_perf.stores.logs import keep
    from gaudi_perf.stores.resolution import check_against
    from gaudi_perf.stores.results import ResultsStore, new_session_id
    from gaudi_perf.vocabulary.configuration import Case, Configuration
    from gaudi_perf.vocabulary.dataset import Dataset
    from gaudi_perf.vocabulary.models import model_named
    from gaudi_perf.vocabulary.workload import Workload
    from gaudi_perf.workers.controller.completing import complete as complete_dataset
    from gaudi_perf.workers.controller.completing import dataset_case
    from gaudi_perf.workers.controller.group import GroupFailure
    from gaudi_perf.workers.controller.matrix import why_not_batches
    from gaudi_perf.workers.controller.measuring import Measurer
    from gaudi_perf.workers.controller.plan import Deadlines, MeasurementPlan
    from gaudi_perf.workers.controller.workspace import Workspace

    model_named(model)
    check_against(against, baselines_dir)
    found = accelerator_named(accelerator, processes=devices)
    told = _weights(weights)
    case = Case(
        configuration=Configuration(model=model, devices=devices, graphs=graphs, kv_cache=kv_cache),
        accelerator=found.kind,
        workload=Workload(
            prompt_tokens=prompt_tokens,
            new_tokens=new_tokens,
            batch_size=batch_size,
            dtype=dtype,  # type: ignore[arg-type]  # click has checked it
        ),
        scale=scale or found.default_scale,  # type: ignore[arg-type]
        weights=told.label,
    )
    reason = why_not_batches(case, found, found.find())
    if reason:
        raise UserError(f"{case.id} cannot run here: {reason}")
    prompts = Dataset(source=dataset, configuration=configuration, column=column, split=split)
    results, session_id = ResultsStore(results_dir), new_session_id()
    workspace = Workspace()
    for sentence in workspace.earlier:
        click.echo(shown(sentence), err=True)
    try:
        with (
            Measurer(found, told, MeasurementPlan(), Deadlines(), workspace.path, session_id) as measurer,
            CompletionsFile(output) as file,
            told_progress() as progress,
        ):
            done = complete_dataset(measurer, case, prompts, file, limit=limit, progress=progress)
    except GroupFailure as failure:
        if failure.mistake:
            raise UserError(failure.sentence) from None
        kept = f"what was completed is kept in {output}; the same command goes on there"
        log = keep(failure.log_path, os.environ, results, session_id, case.id)
        sentence = f"{case.id}: failed in {failure.phase}: {failure.sentence}; {kept}. {failure.log}"
        raise UserError(f"{sentence}\n{log}" if log else sentence) from None
    finally:
        workspace.close()
    text = write_layout(output)
    if done.run is not None:
        results.write_run(done.run)
    _tell(done, dataset_case(case, prompts).workload.prompt, output, text)
    if done.run is not None:
        _judge(done.run, baselines_dir, results_dir, against)


def _tell(done: Completed, name: str, output: Path, text: Path) -> None:
    header = done.header
    click.echo(shown(f"{name}: {header.rows} prompts in {header.batches} batches, in {output} and {text}"))
    if header.tokens == "stand-in":
        click.echo("dummy weights have no tokenizer: ids made of the words stand for tokens, completions are ids")
    if done.before:
        click.echo(f"{done.before} of {header.batches} batches were there already")
    if done.run is not None:
        click.echo(f"throughput: {done.prompts_per_s:.4g} prompts/s, {done.tokens_per_s:.4g} new tokens/s")


def _judge(run: Run, baselines_dir: Path, results_dir: Path, against: str) -> None:
    """Hold the run against its baselines, and keep what was found as a session, of which reports are made."""
    from gaudi_perf.judging import NoiseHistory, judge_runs
    from gaudi_perf.judging.outcome import fails
    from gaudi_perf.judging.waived import waived
    from gaudi_perf.reports.closing import next_commands
    from gaudi_perf.reports.wording import full_text
    from gaudi_perf.stores.baselines import BaselineStore
    from gaudi_perf.stores.results import ResultsStore
    from gaudi_perf.stores.waivers import WaiverStore
    from gaudi_perf.vocabulary.verdict import CaseReport, Session
    from gaudi_perf.workers.controller.measuring import utc_now

    store = BaselineStore(baselines_dir)
    verdicts = judge_runs([run], store, against, history=NoiseHistory.of(results_dir, store))
    for verdict in verdicts:
        click.echo(shown(f"{verdict.kind.value}: {full_text(verdict)}"))
    reason = waived(WaiverStore(baselines_dir), store, run, verdicts)
    if reason:
        click.echo(shown(f"waived: {reason}"))
    report = CaseReport(case=run.case, run_ids=[run.run_id], verdicts=list(verdicts), waived=reason)
    session = Session(session_id=run.session_id, started_at=run.started_at, ended_at=utc_now(), cases=[report])
    ResultsStore(results_dir).write_session(session)
    for line in next_commands(session, str(results_dir), str(baselines_dir)):
        click.echo(shown(line))
    if fails(verdicts, reason):
        raise click.exceptions.Exit(1)


def _weights(text: str) -> Weights:
    from gaudi_perf.protocol import Weights

    if text in ("dummy", "hub"):
        return Weights(kind="dummy" if text == "dummy" else "hub")
    path = Path(text).expanduser()
    if not path.is_dir():
        raise UserError(f"--weights {text}: it takes dummy, hub, or a directory that exists")
    return Weights(kind="path", path=str(path.resolve()))
