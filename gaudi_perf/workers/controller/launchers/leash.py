"""Starts a launcher that ends with the process that started it, however that ends.

``python -m gaudi_perf.workers.controller.launchers.leash PARENT MODULE ARGUMENTS...``: the kernel's promise to kill
this process when its parent dies outlives the change into the module, which need not know of it.
"""

from __future__ import annotations

import os
import sys

from gaudi_perf.workers.controller.launchers.environment import KEPT, VISIBLE
from gaudi_perf.workers.processes import die_with_parent


def main() -> None:
    """Become the module."""
    parent, *words = sys.argv[1:]
    die_with_parent(int(parent))
    if VISIBLE in os.environ:
        os.environ[KEPT] = os.environ[VISIBLE]
    os.execv(sys.executable, [sys.executable, "-u", "-m", *words])


if __name__ == "__main__":
    main()
