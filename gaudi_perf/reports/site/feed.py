"""What others show of the site: its Atom feed and its badge."""

from __future__ import annotations

import hashlib
from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

import gaudi_perf
from gaudi_perf.reports.site.build import SiteBuilder, about
from gaudi_perf.reports.site.records import KnownSession
from gaudi_perf.reports.text import harmless

_FEED_ENTRIES = 50
_COLOURS = {"slower": "#c24e00", "failed": "#a8447a", "fine": "#00795a", "open": "#946200"}


def feed(builder: SiteBuilder, name: str, address: str) -> str:
    """An Atom feed (RFC 4287) of the newest sessions that came to their end."""
    sessions = [session for session in builder.by_time if session.title][-_FEED_ENTRIES:]
    updated = sessions[-1].started_at if sessions else builder.newest.started_at
    base = address or "."
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        f"<title>{escape(name)}</title>",
        f"<id>{escape(address or f'urn:gaudi-perf:{_tag(name)}')}</id>",
        f"<updated>{_time(updated)}</updated>",
        f"<link href={quoteattr(f'{base}/index.html')}/>",
        f"<generator version={quoteattr(gaudi_perf.__version__)}>gaudi-perf</generator>",
    ]
    if address:
        lines.append(f'<link rel="self" href={quoteattr(f"{base}/feed.xml")}/>')
    for session in reversed(sessions):
        facts = "; ".join(f"{key}: {value}" for key, value in about(session))
        ids = builder.records.cases
        cases = "".join(f"\n{harmless(ids[case], 300)}: {text}" for case, text in session.headlines.items())
        lines += [
            "<entry>",
            f"<title>{escape(session.title)}</title>",
            f"<id>urn:gaudi-perf:{_tag(session.session_id)}</id>",
            f"<updated>{_time(session.started_at)}</updated>",
            "<author><name>gaudi-perf</name></author>",
            f"<link href={quoteattr(f'{base}/sessions/{session.session_id}.html')}/>",
            f"<summary>{escape(facts + cases)}</summary>",
            "</entry>",
        ]
    return "\n".join([*lines, "</feed>", ""])


def badge(session: KnownSession) -> str:
    """What the newest session came to, as a small picture."""
    words = session.title or "not finished"
    kind = "slower" if "slower" in words and not words.startswith("No case") else "fine"
    kind = "failed" if any(word in words for word in ("INVALID", "not measured", "not finished")) else kind
    kind = "open" if kind == "fine" and any(word in words for word in ("undecided", "without", "Nothing")) else kind
    left, right = 74, 14 + round(6.4 * len(words))
    text = 'y="14" fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f"aria-label={quoteattr(f'gaudi-perf: {words}')}><title>{escape(f'gaudi-perf: {words}')}</title>"
        f'<rect width="{left + right}" height="20" rx="3" fill="#444"/>'
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H{left}z" fill="{_COLOURS[kind]}"/>'
        f'<text x="8" {text}>gaudi-perf</text><text x="{left + 7}" {text}>{escape(words)}</text></svg>\n'
    )


def _time(started_at: str) -> str:
    return f"{datetime.fromisoformat(started_at[:19]):%Y-%m-%dT%H:%M:%SZ}"


def _tag(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
