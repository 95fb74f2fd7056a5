"""``gaudi-perf complete``: every prompt of a dataset, completed in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.cli import common
from gaudi_perf.reports.answers import report_answer
from gaudi_perf.reports.wording import full_text, next_commands
from gaudi_perf.session import values
from gaudi_perf.session.dataset import complete_dataset
from gaudi_perf.session.interrupts import ending_orderly
from gaudi_perf.session.session import CannotRunError, PerfSession
from gaudi_perf.session.settings import DatasetSettings, Settings
from gaudi_perf.session.writing import last_lines
from gaudi_perf.stores.models import Catalogue
from gaudi_perf.stores.resolution import check_against
from gaudi_perf.vocabulary.configuration import Configuration
from gaudi_perf.vocabulary.dataset import Dataset
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller.completing import Progress, TimeLeft

_LINE_EVERY_SECONDS = 10.0


@click.command(cls=common.Command)
@click.argument("dataset", metavar="DATASET")
@click.option("--output", type=common.PATH, required=True, help="Where completions go, as JSON Lines.")
@click.option("--column", metavar="NAME", default="", help="The prompts. Default: the first column of strings.")
@click.option("--split", metavar="NAME", default="", help="Default: the first of test, validation, train.")
@click.option("--configuration", metavar="NAME", default="", help="One of several configurations of a hub's dataset.")
@common.count_option("--limit", "Complete this many prompts only.")
@common.count_option("--prompt-tokens", "Prompts are cut to these.", default=DatasetSettings.prompt_tokens)
@common.count_option("--new-tokens", "Tokens that each prompt gets.", default=DatasetSettings.new_tokens)
@common.count_option("--batch-size", "Prompts at once.", default=DatasetSettings.batch_size)
@click.option("--model", default="bloomz7b", show_default=True, help="As pytest's.")
@common.count_option("--devices", "Devices that share the model.", default=1)
@click.option("--graphs/--eager", default=True, show_default=True, help="As in pytest's cases.")
@click.option("--kv-cache/--no-kv-cache", default=True, show_default=True, help="As in pytest's cases.")
@click.option("--accelerator", default="auto", show_default=True, help="As pytest's.")
@click.option("--scale", type=click.Choice(["standin", "full"]), help="As pytest's.")
@click.option(
    "--weights",
    callback=common.parsed(values.weights),
    default="dummy",
    show_default=True,
    help="dummy, hub or a directory, as pytest's.",
)
@common.dtype_option
@click.option("--against", metavar="BASELINE", default="", help="The baseline to compare the throughput with.")
@common.json_option
@common.baselines_option
@common.results_option
def complete(
    output: Path,
    model: str,
    graphs: bool,
    kv_cache: bool,
    as_json: bool,
    baselines_dir: Path,
    results_dir: Path,
    **asked: Any,
) -> None:
    """Complete the prompts of a dataset, and compare the throughput with its baselines.

    DATASET is a dataset of the Hugging Face hub, or a local CSV, JSON Lines, Parquet or text file. Batches have static
    shapes: prompts are cut to their first tokens, and shorter ones are padded. An interrupted run goes on where it
    stopped when it is called again. Beside the JSON Lines there is a text file in the layout of the article's script.

    Examples:
      gaudi-perf complete prompts.csv --output completions.jsonl
      gaudi-perf complete JulesBelveze/tldr_news --column content --weights hub --output tldr.jsonl --devices 8
    """
    catalogue = Catalogue(Path())
    chosen = catalogue.model(model)
    check_against(asked["against"], baselines_dir)
    accelerator = accelerator_named(asked["accelerator"], processes=asked["devices"])
    source = {name: asked[name] for name in ("configuration", "column", "split")}
    shape = {name: asked[name] for name in ("prompt_tokens", "new_tokens", "batch_size", "limit")}
    dataset = DatasetSettings(dataset=Dataset(source=asked["dataset"], **source), **shape)
    settings = Settings(
        accelerator=accelerator,
        scale=asked["scale"] or accelerator.default_scale,
        baselines_directory=baselines_dir,
        results_directory=results_dir,
        dataset=dataset,
        catalogue=catalogue,
        models=(chosen,),
        **{name: asked[name] for name in ("weights", "dtype", "against")},
    )
    case = settings.dataset_case(
        Configuration(model=chosen.name, devices=asked["devices"], graphs=graphs, kv_cache=kv_cache)
    )
    session = PerfSession(settings, [case])
    try:
        with ending_orderly(lambda text: click.echo(text, err=True)), _shown_progress() as progress:
            runs = complete_dataset(session, case, dataset, output, progress)
    except CannotRunError as error:
        raise UserError(f"{case.id} cannot run here: {error}") from None
    except KeyboardInterrupt as error:
        click.echo(f"ended by {error or 'SIGINT'}: the same command goes on where it stopped", err=True)
        raise
    finally:
        session.close()
    report = session.judge(case) if runs else None
    if report is not None:
        session.notes += [f"{one.kind.value}: {full_text(one)}" for one in report.verdicts]
        session.notes += [f"waived: {report.waived}"] if report.waived else []
    session.finish()
    lines = last_lines(session, Path())
    if as_json:
        commands = next_commands(session.document, str(results_dir), str(baselines_dir))
        common.echo_json(report_answer(session.document, session.runs_by_id, commands))
    else:
        for line in lines:
            common.echo(line)
    if session.failed or (report is not None and session.fails(report)):
        raise click.exceptions.Exit(1)


@contextmanager
def _shown_progress() -> Iterator[Progress]:
    """Batches done and time left, on the error stream: a bar in a terminal, a line now and then elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(lambda text: click.echo(text, err=True))
        return
    left = TimeLeft()
    with Bar(BarColumn(), TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("loading", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=left(done, total))

        yield show


def lines(write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Progress:
    """A progress in lines: at the beginning, at the end, and every ten seconds in between."""
    left, last = TimeLeft(clock), float("-inf")

    def show(done: int, total: int) -> None:
        nonlocal last
        text = left(done, total)
        if done == total or clock() - last >= _LINE_EVERY_SECONDS:
            last = clock()
            write(text)

    return show
