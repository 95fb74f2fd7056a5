#!/usr/bin/env python3
"""Stands in for ``gh``: issues, pull requests and started workflows are kept in the file that PRETENDED_GH names."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    path = Path(os.environ["PRETENDED_GH"])
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for name in ("issues", "pulls", "workflows", "calls"):
        kept.setdefault(name, [])
    words = sys.argv[1:]
    assert os.environ["GH_TOKEN"] not in " ".join(words), "a token in argv"
    kept["calls"].append(words)
    command, flags = words[:2], dict(itertools.pairwise(words))
    things = kept["pulls" if command[0] == "pr" else "issues"]
    body = flags.get("--body-file", "")
    text = sys.stdin.read() if body == "-" else Path(body).read_text() if body else ""
    if command[0] == "auth" or command == ["label", "create"]:
        pass
    elif command == ["workflow", "run"]:
        kept["workflows"].append([words[2], flags["--ref"]])
    elif command[1] == "list":
        found = [{"number": one["number"], "body": one["body"]} for one in things if one["state"] == "open"]
        if "--jq" in flags:
            assert flags["--jq"] == ".[].number"
            print("\n".join(str(one["number"]) for one in found))
        else:
            print(json.dumps(found))
    elif command[1] == "create":
        title = flags["--title"]
        things.append({"number": len(things) + 1, "title": title, "body": text, "state": "open", "edits": 0})
    else:
        one = things[int(words[2]) - 1]
        if command[1] == "edit":
            one.update(body=text, edits=one["edits"] + 1)
        elif command[1] == "close":
            assert one["state"] == "open"
            one.update(state="closed", comment=flags["--comment"])
        else:
            sys.exit(f"unknown: {words}")
    path.write_text(json.dumps(kept))


main()
