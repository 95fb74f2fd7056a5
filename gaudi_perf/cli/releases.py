"""``gaudi-perf releases``: the file of SynapseAI's releases, and what follows from it."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path

import click

from gaudi_perf.accelerators.hpu.releases import FILE
from gaudi_perf.cli.common import Command, Group, echo, echo_table, parsed, path_option
from gaudi_perf.stores.files import read_bytes, write_atomic
from gaudi_perf.vocabulary.documents import is_word
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted, short
from gaudi_perf.vocabulary.releases import Release, ReleasesFile, decode_releases

_TOX_SECTION = re.compile(r"^\[testenv:synapse\{[^}]*\}\]$", re.M)
_TOX_DEPS = re.compile(r"(?:^    synapse\d+: optimum-habana.*\n)+", re.M)
_IN_A_CONTAINER = ("docker", "run", "--rm", "--init", "--runtime=habana", "--ipc=host", "--cap-add=sys_nice")


def _default() -> Path:
    """The file of the checkout that people are in, which need not be the one that is installed."""
    here = Path(*FILE.parts[-4:])
    return here if here.is_file() else FILE


def _day(text: str) -> str:
    try:
        return f"{datetime.strptime(text, '%Y-%m-%d'):%Y-%m-%d}"
    except ValueError:
        raise ValueError("write a day like 2026-01-31") from None


releases_option = path_option(
    "--releases",
    "path",
    callback=lambda ctx, parameter, value: value or _default(),
    envvar="GAUDI_PERF_RELEASES",
    show_envvar=True,
    help="The file of releases; default: gaudi_perf/accelerators/hpu/releases.toml of the checkout that is the working "
    "directory, else the installed suite's.",
)
day_option = click.option(
    "--day",
    metavar="DATE",
    default=lambda: f"{datetime.now(timezone.utc):%Y-%m-%d}",
    callback=parsed(_day),
    help="What is measured on this day; default: today, in UTC.",
)


@click.group(cls=Group)
def releases() -> None:
    """SynapseAI's releases: what was validated together, and what the nightly measures.

    They are in one file, releases.toml. The nightly's jobs, tox's environments, the stacks that are measured side by
    side and doctor's versions come from it.

    Examples, when a release is out and has its line in the file:
      gaudi-perf releases check --write
      gaudi-perf releases plan
    """


@releases.command(cls=Command)
@click.option("--write", is_flag=True, help="Write into tox.ini what follows from the file.")
@path_option("--project", default=".", metavar="DIR", help="Where tox.ini is.")
@releases_option
@day_option
def check(write: bool, project: Path, path: Path, day: str) -> None:
    """Check the file of releases, and that tox.ini agrees with it.

    Exit status 1 if tox.ini does not; --write fixes that.

    Examples:
      gaudi-perf releases check
      gaudi-perf releases check --write && git diff tox.ini
    """
    file = _read(path)
    columns = ("release", "PyTorch", "optimum-habana", "runner", "since", "until", "tonight")
    echo_table(columns, [_row(one, day) for one in file.release])
    tonight = file.measured_on(day)
    pair = " against ".join(one.stack_name for one in tonight[:-3:-1]) if len(tonight) > 1 else ""
    echo(f"{path}: the nightly of {day} measures {counted(len(tonight), 'release')}; side by side: {pair or 'none'}")
    tox = project / "tox.ini"
    if not tox.exists() and project == Path() and not write:
        return
    try:
        text = read_bytes(tox).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{tox}: byte {error.start + 1} is no UTF-8: save it as UTF-8") from None
    wanted = _tox(text, file)
    if wanted is None:
        echo(f"{tox}: has no environments of releases")
    elif wanted == text:
        echo(f"{tox}: agrees")
    elif write:
        write_atomic(tox, wanted.encode())
        echo(f"written: {tox}")
    else:
        echo(f"{tox}: its environments of releases are others: gaudi-perf releases check --write")
        raise click.exceptions.Exit(1)


@releases.command(cls=Command)
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "github", "gitlab", "lines"]),
    default="json",
    show_default=True,
    help="json; github: outputs of a step; gitlab: a pipeline of jobs that extend .measure; lines: release, "
    "tox's environment, container, optimum-habana and runner of each.",
)
@releases_option
@day_option
def plan(form: str, path: Path, day: str) -> None:
    """Print what the nightly measures, for workflows and scripts.

    Examples:
      gaudi-perf releases plan
      gaudi-perf releases plan --format github >> "$GITHUB_OUTPUT"
      gaudi-perf releases plan --format lines --day 2026-12-24
    """
    file = _read(path)
    found = [
        {
            "synapse": one.synapse,
            "stack": one.stack_name,
            "runner": one.runner,
            "environment": one.environment,
            "image": file.image(one),
            "optimum_habana": one.requirement,
        }
        for one in file.measured_on(day)
    ]
    candidate, baseline = (found[-1]["stack"], found[-2]["stack"]) if len(found) > 1 else ("", "")
    if form == "json":
        click.echo(json.dumps({"measure": found, "candidate": candidate, "baseline": baseline}, indent=2))
    elif form == "github":
        click.echo(f"measure={json.dumps(found)}\ncandidate={candidate}\nbaseline={baseline}")
    elif form == "gitlab":  # JSON is YAML
        jobs = {
            f"measure {one['stack']}": {
                "extends": ".measure",
                "image": one["image"],
                "tags": ["gaudi", one["runner"]],
                "variables": {"RELEASE": one["synapse"], "TOX_ENVIRONMENT": one["environment"]},
            }
            for one in found
        }
        click.echo(json.dumps(jobs, indent=2))
    else:
        for one in found:
            click.echo(f"{one['synapse']} {one['environment']} {one['image']} {one['optimum_habana']} {one['runner']}")


@releases.command(cls=Command)
@click.option("--image", metavar="NAME", default="gaudi-perf", show_default=True, help="Images are NAME:<release>.")
@releases_option
@day_option
def stacks(image: str, path: Path, day: str) -> None:
    """Write the file of stacks for the releases, each in an image of its own, for measuring side by side or bisecting.

    Examples:
      gaudi-perf releases stacks > stacks.toml
      gaudi-perf releases stacks --image registry.example.com/gaudi-perf > stacks.toml
    """
    if not is_word(image):
        raise UserError(f"--image {short(image)}: is no name: write it like registry.example.com/gaudi-perf")
    for one in reversed(_read(path).measured_on(day)):
        command = [
            *_IN_A_CONTAINER,
            "--volume={directory}:{directory}",
            "--env-file={environment}",
            f"{image}:{one.synapse}",
            "python3",
        ]
        click.echo(f"[[stack]]\nname = {json.dumps(one.stack_name)}\ncommand = {json.dumps(command)}")
        click.echo('environment = { HABANA_VISIBLE_DEVICES = "all", PT_HPU_LAZY_MODE = "1" }\n')


def _read(path: Path) -> ReleasesFile:
    return decode_releases(read_bytes(path), str(path))


def _row(release: Release, day: str) -> tuple[str, ...]:
    first, last = release.optimum_habana or ("-", "-")
    return (
        release.synapse,
        release.pytorch or "-",
        first if first == last else f"{first} to {last}",
        release.runner or "-",
        release.since or "-",
        release.until or "-",
        "measured" if release.measured_on(day) else "-",
    )


def _tox(text: str, file: ReleasesFile) -> str | None:
    """What tox.ini should be; None where it has no environments of releases."""
    if not (_TOX_SECTION.search(text) and _TOX_DEPS.search(text)):
        return None
    known = file.in_containers
    numbers = ",".join(one.environment.removeprefix("synapse") for one in known)
    deps = "".join(f"    {one.environment}: optimum-habana{one.requirement}\n" for one in known)
    text = _TOX_SECTION.sub(f"[testenv:synapse{{{numbers}}}]", text)
    return _TOX_DEPS.sub(deps, text, count=1)
