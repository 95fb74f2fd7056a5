"""A hook of mkdocs: pages that are made from the code when the site is built, so that they cannot disagree with it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from gaudi_perf.cli import main
from gaudi_perf.pytest_plugin.options import all_options
from gaudi_perf.vocabulary.baseline import Baseline
from gaudi_perf.vocabulary.bisection import Bisection
from gaudi_perf.vocabulary.dataset import CompletionHeader
from gaudi_perf.vocabulary.note import Notes
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Session
from gaudi_perf.vocabulary.waiver import Waivers

ROOT = Path(__file__).parents[1]
THEME_S_WORKER = "https://unpkg.com/iframe-worker/shim"
STORED = {
    "results/SESSION/session.json": Session,
    "results/SESSION/run-RUN.json": Run,
    "baselines/DEVICE/STACK.json": Baseline,
    "baselines/waivers.json": Waivers,
    "results/notes.json": Notes,
    "the first line of completions": CompletionHeader,
    "bisect.json": Bisection,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that have no file of their own."""
    pages = {"options.md": options(), "commands.md": commands(), "documents.md": documents()}
    pages |= {f"{name.lower()}.md": of_the_root(name) for name in ("CONTRIBUTING", "SECURITY", "CHANGELOG")}
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Search with a script of our own where the theme would load one from elsewhere."""
    return output.replace(THEME_S_WORKER, get_relative_url("assets/search_from_disk.js", page.url))


def of_the_root(name: str) -> str:
    """A page of the repository's root, whose links lead from there."""
    return (ROOT / f"{name}.md").read_text("utf-8").replace("](docs/", "](")


def options() -> str:
    """The options that the plugin adds to pytest."""
    lines = ["# Options of pytest", "", "Each can also be set by the environment variable below it; the option wins."]
    lines += ["A share is written as `5%` or `0.05`."]
    for group, members in itertools.groupby(all_options(), key=lambda option: option.group):
        lines += ["", f"## {group[0].upper()}{group[1:]}", "", *_head("option", "meaning")]
        for option in members:
            flag = f"`{option.flag}{'=' if option.metavar else ''}{option.metavar}`<br>`{option.variable}`"
            about = re.sub(r"docs/(\w+)\.md", r"[\1](\1.md)", option.about.replace("%%", "%"))
            lines.append(f"| {flag} | {_cell(about)} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """What ``--help`` of every command prints."""
    lines = [
        "# Commands",
        "",
        "What `gaudi-perf COMMAND --help` prints. [Scripting](scripting.md) has exit statuses and JSON.",
    ]
    with click.Context(main, info_name="gaudi-perf", terminal_width=80) as context:
        for command, words in _with_subcommands(main, context):
            lines += ["", f"## {words.command_path}", "", "```text", command.get_help(words).rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _with_subcommands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    yield command, context
    if isinstance(command, click.Group):
        for name in sorted(command.list_commands(context)):
            one = command.get_command(context, name)
            assert one is not None
            yield from _with_subcommands(one, click.Context(one, info_name=name, parent=context))


def documents() -> str:
    """The documents that are stored, and those of ``--json``."""
    lines = [
        "# JSON documents",
        "",
        "Durations are in seconds, memory in bytes. Shares are 0.05 for 5 %, ratios candidate to baseline (1.10 is",
        "10 % slower). Unknown fields are refused; documents of earlier versions are read. The JSON Schemas as files:",
        "[scripting](scripting.md).",
        "",
        "## Stored documents",
    ]
    for place, kind in STORED.items():
        lines += ["", f"### {place}", *_tables(msgspec.json.schema(kind))]
    lines += ["", "## Documents of --json"]
    for path in sorted((ROOT / "docs/schemas").glob("*.json")):
        schema = json.loads(path.read_text("utf-8"))
        lines += ["", f"### {schema['title'].removesuffix(' --json')}", *_tables(schema)]
    return "\n".join(lines) + "\n"


def _tables(schema: dict[str, Any]) -> Iterator[str]:
    """A table of the fields of each object of a schema, the outermost first."""
    for name, definition in schema["$defs"].items():
        if "properties" not in definition:
            continue
        about, _, described = definition.get("description", "").partition("Attributes:")
        meanings = dict(re.findall(r"^ +(\w+): (.*(?:\n {6,}.*)*)", described, re.M))
        yield from (
            "",
            f"**{name}**: {_cell(about)}" if about else f"**{name}**",
            "",
            "| field | type | default | meaning |",
        )
        yield "| --- | --- | --- | --- |"
        required = definition.get("required", ())
        for field, kind in definition["properties"].items():
            default = "required" if field in required else f"`{json.dumps(kind.get('default'))}`"
            yield f"| `{field}` | {_cell(_kind(kind))} | {default} | {_cell(meanings.get(field, ''))} |"


def _head(*columns: str) -> tuple[str, str]:
    return f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"


def _kind(kind: dict[str, Any]) -> str:
    """A type in words."""
    match kind:
        case {"$ref": reference}:
            return str(reference).rpartition("/")[2]
        case {"anyOf": kinds}:
            return " or ".join(map(_kind, kinds))
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": dict() as items}:
            return f"array of {_kind(items)}"
        case {"type": "object", "additionalProperties": dict() as values}:
            return f"object of {_kind(values)}"
        case _:
            return str(kind.get("type", "any"))


def _cell(text: str) -> str:
    """A text in one cell of a table."""
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())
