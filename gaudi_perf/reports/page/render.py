"""Writes the data into the template: one file with style, script and data, and a policy that forbids all else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gaudi_perf.reports.page.build import LOOK
from gaudi_perf.reports.page.data import Page, ShownComparison
from gaudi_perf.reports.page.scripts import ASSETS, script
from gaudi_perf.reports.tabular import Words
from gaudi_perf.reports.text import harmless
from gaudi_perf.vocabulary.formats import change, interval, seconds, throughput

_MOST_CARDS = 8

BAR_WIDTH, BAR_HEIGHT = 132, 18


def render_page(page: Page) -> bytes:
    """The page as HTML in UTF-8."""
    look = [case for case in page.cases if case.state in LOOK][:_MOST_CARDS]
    return _render("page.html.jinja", [script("main")], page=page, look=look, data=as_markup(msgspec.json.encode(page)))


def render_words(title: str, tables: Sequence[Words]) -> bytes:
    """A page of tables alone, without a script."""
    shown = [
        Words(
            harmless(table.heading),
            table.columns,
            [[harmless(cell if isinstance(cell, str) else cell[0]) for cell in row] for row in table.rows],
            [harmless(note) for note in table.notes],
            table.right,
        )
        for table in tables
    ]
    return _render("table.html.jinja", [], title=title, tables=shown)


def as_markup(json: bytes) -> Markup:
    """JSON that no HTML parser takes for markup: ``<``, ``>`` and ``&`` are written as escapes."""
    text = json.decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def bar(comparison: ShownComparison) -> dict[str, float]:
    """Where the parts of an interval bar lie, in pixels: its middle is "the same", its ends four tolerances away."""
    middle = BAR_WIDTH / 2
    scale = (middle - 8) / (4 * comparison.tolerance)

    def place(ratio: float) -> float:
        return round(min(max(middle + (ratio - 1) * scale, 4), BAR_WIDTH - 4), 1)

    low, ratio, high = comparison.low or 1.0, comparison.ratio or 1.0, comparison.high or 1.0
    return {
        "low": place(low),
        "at": place(ratio),
        "high": place(high),
        "zone": round(middle - comparison.tolerance * scale, 1),
        "zone_width": round(2 * comparison.tolerance * scale, 1),
    }


def _render(template: str, scripts: list[str], **values: object) -> bytes:
    style = (ASSETS / "page.css").read_text("utf-8")
    sources = " ".join(_hash(script) for script in scripts) or "'none'"
    policy = (
        f"default-src 'none'; script-src {sources}; style-src {_hash(style)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    return render(
        template,
        policy=policy,
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        bar=bar,
        interval=interval,
        **values,
    )


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
    return environment


def _hash(text: str) -> str:
    """A source of a Content-Security-Policy: this text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
