"""Writes the site's files: those that are not there, and those whose content changed."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import msgspec

import gaudi_perf
from gaudi_perf.reports.page.build import written_in
from gaudi_perf.reports.page.render import ASSETS, as_markup, render, script
from gaudi_perf.reports.site.build import SiteBuilder
from gaudi_perf.reports.site.feed import badge, feed
from gaudi_perf.reports.site.records import read_records
from gaudi_perf.reports.text import harmless
from gaudi_perf.stores.files import make_directory, write_atomic
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.vocabulary.errors import UserError

VERSION_FILE = ".site-version"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: 'self'; base-uri 'none'; form-action 'none'"
)


def write_site(
    output: Path, results: Path, baselines: Path, *, name: str = "", address: str = ""
) -> tuple[int, int, list[str]]:
    """Write a site, or what changed of it.

    Args:
        name: what the site is called; else gaudi-perf.
        address: where it is published, for the links of its feed; may be empty.

    Returns:
        How many sessions it has, how many files were written, and a sentence for everything that could not be read.

    Raises:
        UserError: there are no sessions to show, or a file cannot be written.
    """
    read = read_records(results)
    if not read.records.sessions:
        raise UserError(f"{results}: holds no session that can be read: measure first")
    problems = list(read.problems)
    builder = SiteBuilder(read.records, baselines, written_in(results, problems))
    writer = SiteWriter(output, harmless(name, 200) or "gaudi-perf", address)
    writer.write(builder, read.new)
    return len(read.records.sessions), writer.written, [*problems, *builder.problems]


class SiteWriter:
    """Writes a site into a directory; ``written`` counts its files."""

    def __init__(self, output: Path, name: str, address: str) -> None:
        self._output, self._name = output, name
        self._address = address.rstrip("/")
        self.written = 0
        self._folders: set[Path] = set()

    def write(self, builder: SiteBuilder, new: set[str]) -> None:
        """Write what changed since sessions were ``new``; all of it where another release wrote it, notes changed, or
        sessions are gone, since pages refer to sessions by their place. Raises UserError if a file cannot be written.
        """
        assets = {"assets/site.js": script("site").encode(), "assets/site.css": (ASSETS / "page.css").read_bytes()}
        label = f"{gaudi_perf.__version__} {self._name}".encode()
        stamp = hashlib.sha256(b"".join([*assets.values(), label, *map(encode_line, builder.notes)])).hexdigest()
        before = self._output / VERSION_FILE
        whole = not before.is_file() or before.read_text("utf-8", "replace") != stamp
        places = [session.session_id for session in builder.records.sessions]
        whole = whole or not self._begin_alike(places)
        touched = builder.touched(new)
        for index in builder.measured():
            known = builder.records.trends[index]
            if whole or index in touched or not (self._output / f"cases/{known.slug}.html").is_file():
                page = builder.trend(index)
                self._page(f"cases/{known.slug}.html", f"{page.case} on {page.device}", "trend", page)
        for session in builder.by_time:
            own = f"sessions/{session.session_id}"
            if whole or session.session_id in new or not (self._output / f"{own}.js").is_file():
                self._data(f"{own}.js", f"session/{session.session_id}", builder.session(session))
                self._page(
                    f"{own}.html", session.title or session.session_id, "session", session.session_id, [f"{own}.js"]
                )
        self._data("data/names.js", "names", builder.names())
        self._data("data/index.js", "index", builder.index())
        self._data("data/trends.js", "trends", builder.trends())
        self._data("data/sessions.js", "sessions", builder.sessions())
        self._data("data/places.js", "places", places)
        self._data("data/releases.js", "releases", builder.releases())
        self._page("index.html", self._name, "index", None, ["data/index.js"])
        self._page("cases.html", "Cases", "trends", None, ["data/trends.js"])
        self._page("sessions.html", "Sessions", "sessions", None, ["data/sessions.js"])
        self._page("compare.html", "Compare", "compare", None, ["data/sessions.js", "data/releases.js"])
        for path, content in assets.items():
            self._file(path, content)
        self._file("badge.svg", badge(builder.newest).encode())
        self._file("feed.xml", feed(builder, self._name, self._address).encode())
        self._file(VERSION_FILE, stamp.encode())  # the last: a site that was not finished is written anew

    def _begin_alike(self, places: list[str]) -> bool:
        """Whether the sessions that pages were written with are the first of these."""
        with suppress(OSError, msgspec.DecodeError):
            text = (self._output / "data/places.js").read_text("utf-8", "replace")
            before = msgspec.json.decode(text.partition("] = ")[2].rstrip(";\n"), type=list[str])
            return places[: len(before)] == before
        return False

    def _page(self, path: str, title: str, kind: str, value: object, scripts: list[str] | None = None) -> None:
        up = "../" * path.count("/")
        more = ["data/places.js"] if kind == "trend" else []
        content = render(
            "site.html.jinja",
            policy=_POLICY,
            title=title,
            name=self._name,
            kind=kind,
            up=up,
            sources=[f"{up}{one}" for one in ("data/names.js", *(scripts or []), *more, "assets/site.js")],
            data=as_markup(msgspec.json.encode(value)),
            version=gaudi_perf.__version__,
        )
        self._file(path, content)

    def _data(self, path: str, key: str, value: object) -> None:
        """Data as a script, since a page from disk may load nothing else."""
        content = as_markup(msgspec.json.encode(value))
        self._file(path, f"(window.gaudiPerf ||= {{}})[{as_markup(msgspec.json.encode(key))}] = {content};\n".encode())

    def _file(self, path: str, content: bytes) -> None:
        file = self._output / path
        if file.is_file() and file.stat().st_size == len(content) and file.read_bytes() == content:
            return
        if file.parent not in self._folders:
            make_directory(file.parent)
            self._folders.add(file.parent)
        write_atomic(file, content, lasting=False)
        self.written += 1
