"""``gaudi-perf baselines import``: numbers that others measured."""

from __future__ import annotations

from pathlib import Path

import click

from gaudi_perf.cli.common import PATH, Command, baselines_option, echo, echo_json, json_option, parsed
from gaudi_perf.reports.answers import ImportAnswer, ImportedCase
from gaudi_perf.stores import importing, optimum_habana
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.places import check_device_name, parse_stack_name
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import seconds, throughput
from gaudi_perf.vocabulary.gaudi_options import parsed_options
from gaudi_perf.vocabulary.stack import STACK_KINDS, Device, Stack
from gaudi_perf.vocabulary.workload import DTYPES

_FORMATS = ("optimum-habana", "run-generation", "pytest-benchmark")
_COUNT = click.IntRange(min=1, max=1_000_000)
_DTYPE = click.Choice(DTYPES)
_SCALE = click.Choice(["full", "standin"])
_ACCELERATORS = {"synapse": "hpu", "cuda": "cuda", "deepspeed": "cuda", "torch": "cpu"}


@click.command("import", cls=Command)
@click.argument("path", type=PATH)
@click.option("--format", "kind", type=click.Choice(_FORMATS), required=True, help="Whose file it is.")
@click.option("--stack", required=True, metavar="STACK", help="What it was measured on, as synapse-1.22.0.")
@click.option("--day", metavar="YYYY-MM-DD", help="When it was measured, or the day of the files' commit.")
@click.option("--device", metavar="NAME", help="On which device, as gaudi2 (optimum-habana's own files say it).")
@click.option("--case", metavar="ID", help="For run-generation: the case, as bloomz7b-1x-graphs-kvcache.")
@click.option("--new-tokens", type=_COUNT, help="New tokens, 100 unless the file or a case id says otherwise.")
@click.option("--batch-size", type=_COUNT, help="Prompts at once, 1 unless the file or a case id says otherwise.")
@click.option("--dtype", type=_DTYPE, help="Of weights and cache, bfloat16 unless the file or an id says otherwise.")
@click.option("--scale", type=_SCALE, help="Shapes of the model, full unless the file says otherwise.")
@click.option("--weights", metavar="NAME", help="dummy, hub or path:NAME; hub unless the file says otherwise.")
@click.option(
    "--gaudi-options",
    callback=parsed(lambda text: parsed_options(text).words),
    metavar="OPTION[,...]",
    help="The options of optimum-habana, as reuse_cache,trim_logits; the model's own unless the file says otherwise.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be added, and write nothing.")
@json_option
@baselines_option
def import_command(
    path: Path,
    kind: str,
    stack: str,
    day: str | None,
    device: str | None,
    case: str | None,
    dry_run: bool,
    as_json: bool,
    baselines_dir: Path,
    **said: object,
) -> None:
    r"""Add numbers that other suites measured to the baselines; what is stored is never replaced.

    Formats: optimum-habana (its tests/baselines/fixture, a directory or a file), run-generation (the results.json of
    its run_generation.py), pytest-benchmark (--benchmark-json: each test with a case id in its brackets is a run). Most
    files do not say what they were measured on, so the options do; files of this suite do, and options must not
    contradict them. What cannot be imported is listed.

    Examples:
      gaudi-perf baselines import optimum-habana/tests/baselines/fixture --format optimum-habana \
          --stack synapse-1.22.0 --day 2025-09-09
      gaudi-perf baselines import results.json --format run-generation --case bloomz7b-1x-graphs-kvcache \
          --device gaudi2 --stack synapse-1.22.0 --day 2026-01-31
      gaudi-perf baselines import benchmark.json --format pytest-benchmark --device gaudi2 --stack synapse-1.22.0
    """
    stack_document = _stack(stack)
    if kind != "pytest-benchmark" and day is None:
        raise UserError(f"--day is missing: a file of {kind} does not say when it was measured: write --day 2026-01-31")
    if kind == "optimum-habana":
        imported = optimum_habana.import_optimum_habana(path, stack_document, day or "")
    elif device is None:
        raise UserError(f"--device is missing: a file of {kind} does not say what it was measured on")
    else:
        check_device_name(device, f"--device {device}")
        circumstances = importing.Circumstances(
            device=Device(name=device, accelerator=_ACCELERATORS[stack_document.kind]),
            stack=stack_document,
            measured_on=day or "",
            said={name: value for name, value in said.items() if value is not None},
        )
        if kind == "pytest-benchmark":
            imported = importing.import_pytest_benchmark(path, circumstances)
        else:
            imported = importing.import_run_generation(path, case or "", circumstances)
    for clause in imported.passed_over:
        echo(f"passed over: {clause}", err=True)
    if not imported.baselines:
        raise UserError(f"{path}: holds nothing of this suite's models")
    added = [] if dry_run else importing.add_imported(BaselineStore(baselines_dir), imported.baselines)
    answer = ImportAnswer(
        cases=[
            ImportedCase(
                baseline=f"{baseline.device.name}/{baseline.stack.name}",
                case=entry.id,
                level_s=entry.level_s,
                tokens_per_s=entry.case.workload.tokens_per_s(entry.level_s),
                provenance=entry.provenance,
            )
            for baseline in imported.baselines
            for entry in baseline.cases
        ],
        passed_over=list(imported.passed_over),
        written=[str(place.path) for place in added],
    )
    if as_json:
        echo_json(answer)
        return
    for one in answer.cases:
        rate = f"{throughput(one.tokens_per_s)} tok/s"
        echo(f"{one.baseline} {one.case}: {seconds(one.level_s)}, {rate}, {one.provenance}")
    for file in answer.written:
        echo(f"written: {file}")
    if not (answer.written or dry_run):
        echo("nothing changes: all of it is there already")


def _stack(name: str) -> Stack:
    kind, version = parse_stack_name(name, f"--stack {name}")
    if kind not in STACK_KINDS:
        raise UserError(
            f"--stack {name}: write it like synapse-1.24.0; the kinds of stack are {', '.join(STACK_KINDS)}"
        )
    return Stack(kind=kind, version=version)
