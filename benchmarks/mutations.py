"""Changes the engine in many places, one at a time, and lists the changes that the tests do not notice.

    python benchmarks/mutations.py                  # fifty places, against the fast lane
    python benchmarks/mutations.py --all            # against all tests
    python benchmarks/mutations.py --near           # only against the tests of the changed package: minutes, not hours
    python benchmarks/mutations.py --near --count 12 gaudi_perf/statistics/verdict.py

Places are drawn at random, the same for the same seed, evenly over the packages or the files named. A change turns an
operator into its neighbour (< into <=, + into -, and into or), a number into the next one, or a condition into its
opposite. The tests of the changed module run first, then those of its package, then the others; the first failure ends
them. A change that only makes the tests hang counts as noticed.
"""

from __future__ import annotations

import argparse
import ast
import collections
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("vocabulary", "statistics", "stores", "judging", "session", "reports", "cli", "workers/controller")
PLACES = [f"gaudi_perf/{package}" for package in PACKAGES]
LONGEST = 3600
"""Seconds for the tests of one change."""

_NEIGHBOURS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "in": "not in", "is": "is not"}
_OPPOSITES = {"+": "-", "-": "+", "*": "/", "/": "*", "and": "or", "or": "and", "max": "min", "min": "max"}


@dataclass(frozen=True)
class Change:
    """A piece of a file and what it becomes."""

    path: Path
    begin: int
    end: int
    line: int
    after: str

    def applied(self, source: str) -> str:
        """The file's text with the change."""
        return source[: self.begin] + self.after + source[self.end :]

    def described(self, source: str) -> str:
        """Where it is, and what becomes of what."""
        return f"{self.path}:{self.line}: {source[self.begin : self.end]!r} -> {self.after!r}"


def changes(path: Path, source: str) -> Iterator[Change]:
    """All changes of a file that are not about types or texts."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))

    def at(line: int, column: int) -> int:
        return len(source.encode()[: starts[line - 1] + column].decode())

    def between(before: ast.expr, after: ast.expr, words: dict[str, str]) -> Iterator[Change]:
        assert before.end_lineno is not None and before.end_col_offset is not None
        begin, end = at(before.end_lineno, before.end_col_offset), at(after.lineno, after.col_offset)
        found = source[begin:end].strip(" \n()")
        if found in words:
            place = source.index(found, begin)
            yield Change(path, place, place + len(found), before.end_lineno, words[found])

    for node in _evaluated(ast.parse(source)):
        match node:
            case ast.Compare(left=left, comparators=[right]):
                yield from between(left, right, _NEIGHBOURS)
            case ast.BinOp(left=left, right=right):
                yield from between(left, right, _OPPOSITES)
            case ast.BoolOp(values=[left, right, *_]):
                yield from between(left, right, _OPPOSITES)
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                begin = at(node.lineno, node.col_offset)
                yield Change(path, begin, at(node.lineno, node.end_col_offset or 0), node.lineno, repr(value + 1))
            case ast.If(test=test) | ast.IfExp(test=test) if isinstance(test, ast.Name | ast.Attribute | ast.Call):
                begin, end = at(test.lineno, test.col_offset), at(test.end_lineno or 0, test.end_col_offset or 0)
                yield Change(path, begin, end, test.lineno, f"(not {source[begin:end]})")


def _evaluated(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that compute something: no annotations, no f-strings, nothing for type checkers."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns") or isinstance(node, ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                yield from _evaluated(child)


def drawn(count: int, seed: int, places: list[str]) -> list[Change]:
    """As many changes of each folder or file."""
    dice, chosen = random.Random(seed), []
    for number, place in enumerate(places):
        paths = [ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*.py"))
        all_of_it = [one for path in paths for one in changes(path.relative_to(ROOT), path.read_text())]
        chosen += dice.sample(all_of_it, min(len(all_of_it), (count + number) // len(places)))
    return chosen


def noticed(change: Change, checkout: Path, lanes: list[list[str]]) -> str:
    """The test that fails, or how else they end; empty if they pass."""
    file = checkout / change.path
    original = file.read_text()
    file.write_text(change.applied(original))
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        for tests in lanes:
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *tests]
            done = subprocess.run(
                command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False
            )
            if done.returncode:
                failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
                return failed[0].partition(" - ")[0] if failed else f"exit status {done.returncode}"
    except subprocess.TimeoutExpired:
        return "no end"
    finally:
        file.write_text(original)
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", default=PLACES, help="folders or files to change; default: all")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="all tests instead of the fast lane")
    parser.add_argument("--near", action="store_true", help="only the tests of the changed package")
    options = parser.parse_args()
    more = ["--all"] if options.all else []
    survived, by_package = [], collections.Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        checkout = Path(place) / "checkout"
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, files.split("\0")):
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
        all_changes = drawn(options.count, options.seed, options.places)
        for change in all_changes:
            near = f"tests/{change.path.parts[1]}"
            own = f"{near}/test_{change.path.stem}.py"
            lanes = [
                [*([own] if (checkout / own).is_file() else []), near, *more],
                *([] if options.near else [["tests", f"--ignore={near}", *more]]),
            ]
            found = noticed(change, checkout, lanes)
            by_package[f"{change.path.parts[1]} {'noticed' if found else 'not noticed'}"] += 1
            described = change.described((ROOT / change.path).read_text())
            print(f"{'noticed    ' if found else 'NOT NOTICED'} {described}  {found}", flush=True)
            if not found:
                survived.append(described)
    for name, count in sorted(by_package.items()):
        print(f"{name}: {count}")
    print(f"{len(all_changes) - len(survived)} of {len(all_changes)} changes are noticed")


if __name__ == "__main__":
    main()
