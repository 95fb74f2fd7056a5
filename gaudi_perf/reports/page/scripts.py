"""Puts JavaScript modules into one script: a page opened from disk may not import any.

They are plain ES modules, so that they can be linted and tested as they are. In the one script each is a function of
its own that returns what it exports. Only what is written here is understood: ``import { a } from "./b.js";`` and
``export`` before a function, a constant or a class.
"""

from __future__ import annotations

import re
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z]+)\.js";\n', re.M)
_EXPORT = re.compile(r"^export ((?:async )?function|const|let|class) (\w+)", re.M)


def script(main: str) -> str:
    """One script of a module, named without its suffix, and all that it imports, each once, in the order of need."""
    found: dict[str, str] = {}
    _collect(main, found)
    return '"use strict";\n(() => {\n' + "\n".join(found.values()) + "\n})();\n"


def _collect(name: str, found: dict[str, str]) -> None:
    if name in found:
        return
    source = (ASSETS / f"{name}.js").read_text("utf-8")
    for _, imported in _IMPORT.findall(source):
        _collect(imported, found)
    exported = ", ".join(one for _, one in _EXPORT.findall(source))
    body = _EXPORT.sub(r"\1 \2", _IMPORT.sub(r"const {\1} = \2Module;\n", source))
    found[name] = f"const {name}Module = (() => {{\n{body}return {{ {exported} }};\n}})();"
