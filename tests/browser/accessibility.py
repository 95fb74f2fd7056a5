"""axe-core in the page: names, contrast, roles, what the keyboard reaches. The package axe-core-python has it."""

from __future__ import annotations

from importlib.resources import files

from tests.browser.chromium import Chromium

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


def violations(browser: Chromium) -> list[str]:
    """What axe finds wrong with the page as it is shown, a line each."""
    if not browser.run("'axe' in window"):
        browser.run((files("axe_core_python") / "axe.min.js").read_text("utf-8") + ";0")
    script = f"""axe.run(document, {{runOnly: {RULES["runOnly"]}}}).then((found) => found.violations.flatMap((one) =>
        one.nodes.slice(0, 3).map((node) => `${{one.id}}: ${{one.help}}: ${{node.html.slice(0, 160)}}: ` +
        `${{(node.any[0] || node.all[0] || node.none[0] || {{}}).message}}`)))"""
    found: list[str] = browser.run(script)
    return found
