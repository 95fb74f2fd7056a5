"""Installs the suite for jobs that measure nothing: with its dependencies but those that only measuring takes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[1]
MEASURING = {"pytest-benchmark", "safetensors", "torch", "transformers"}


def requirements() -> list[str]:
    """The dependencies of pyproject.toml that are left."""
    found = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    return [one for one in found if re.split(r"[^\w-]", one)[0] not in MEASURING]


if __name__ == "__main__":
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *requirements()], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", str(PROJECT)], check=True)
