"""Writes the data into the template: one file with style, script and data, and a policy that forbids all else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gaudi_perf.reports.page.build import LOOK, PageBuilder
from gaudi_perf.reports.page.data import ShownComparison
from gaudi_perf.reports.text import Words, harmless
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.formats import change, interval, seconds, throughput
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.verdict import Session

ASSETS = Path(__file__).parent / "assets"
_MOST_CARDS = 8
_BAR_WIDTH = 132
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z]+)\.js";\n', re.M)
_EXPORT = re.compile(r"^export ((?:async )?function|const|let|class) (\w+)", re.M)


def session_page(
    session: Session,
    runs: Mapping[str, Sequence[Run]],
    results: ResultsStore,
    baselines_directory: Path,
    commands: Sequence[str] = (),
) -> bytes:
    """The page of a session, as HTML, with the trends of all sessions and the rounds of the baselines.

    Args:
        runs: the runs of each measured case, by case id.
        commands: what to do next, a line each.
    """
    page = PageBuilder(session, runs, results, baselines_directory, commands).page()
    look = [case for case in page.cases if case.state in LOOK][:_MOST_CARDS]
    return _render("page.html.jinja", script("main"), page=page, look=look, data=as_markup(msgspec.json.encode(page)))


def render_words(title: str, words: Words) -> bytes:
    """A page of a table alone, without a script."""
    rows = [[harmless(cell if isinstance(cell, str) else cell[0]) for cell in row] for row in words.rows]
    return _render("table.html.jinja", "", title=title, words=words, rows=rows, notes=map(harmless, words.notes))


def as_markup(json: bytes) -> Markup:
    """JSON that no HTML parser takes for markup: ``<``, ``>`` and ``&`` are written as escapes."""
    text = json.decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def bar(comparison: ShownComparison) -> dict[str, float]:
    """Where the parts of an interval bar lie, in pixels: its middle is "the same", its ends four tolerances away."""
    middle = _BAR_WIDTH / 2
    scale = (middle - 8) / (4 * comparison.tolerance)

    def place(ratio: float) -> float:
        return round(min(max(middle + (ratio - 1) * scale, 4), _BAR_WIDTH - 4), 1)

    low, ratio, high = comparison.low or 1.0, comparison.ratio or 1.0, comparison.high or 1.0
    return {
        "low": place(low),
        "at": place(ratio),
        "high": place(high),
        "zone": round(middle - comparison.tolerance * scale, 1),
        "zone_width": round(2 * comparison.tolerance * scale, 1),
    }


def _render(template: str, script: str, **values: object) -> bytes:
    style = (ASSETS / "page.css").read_text("utf-8")
    source = _hash(script) if script else "'none'"
    policy = (
        f"default-src 'none'; script-src {source}; style-src {_hash(style)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    return render(template, policy=policy, style=Markup(style), script=Markup(script), **values)


def render(template: str, **values: object) -> bytes:
    """A template with values; texts are escaped."""
    return _environment().get_template(template).render(**values).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(change=change, seconds=seconds, throughput=throughput)
    environment.globals.update(bar=bar, interval=interval)
    return environment


def _hash(text: str) -> str:
    """A source of a Content-Security-Policy: this text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def script(main: str) -> str:
    """One script of a module, named without its suffix, and all that it imports, each once, in the order of need: a
    page opened from disk may import none.

    The modules are plain ES modules, so that they can be linted and tested as they are; here each is a function that
    returns what it exports. Only what is written there is understood: ``import { a } from "./b.js";`` and ``export``
    before a function, a constant or a class.
    """
    found: dict[str, str] = {}

    def collect(name: str) -> None:
        source = (ASSETS / f"{name}.js").read_text("utf-8")
        for _, imported in _IMPORT.findall(source):
            if imported not in found:
                collect(imported)
        exported = ", ".join(one for _, one in _EXPORT.findall(source))
        body = _EXPORT.sub(r"\1 \2", _IMPORT.sub(r"const {\1} = \2Module;\n", source))
        found[name] = f"const {name}Module = (() => {{\n{body}return {{ {exported} }};\n}})();"

    collect(main)
    return '"use strict";\n(() => {\n' + "\n".join(found.values()) + "\n})();\n"
