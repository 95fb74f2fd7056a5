"""``gaudi-perf`` where nightly/install.py has installed it: what only measuring takes is not there."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

from nightly.install import MEASURING


class Absent(MetaPathFinder):
    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname.partition(".")[0].replace("_", "-") in MEASURING:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


sys.meta_path.insert(0, Absent())

from gaudi_perf.cli import main  # noqa: E402

main(prog_name="gaudi-perf")
