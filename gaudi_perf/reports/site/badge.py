"""The site's badge."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from gaudi_perf.reports.site.records import KnownSession

_COLOURS = {"slower": "#c24e00", "failed": "#a8447a", "fine": "#00795a", "open": "#946200"}


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
