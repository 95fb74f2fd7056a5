"""``python -m gaudi_perf`` is ``gaudi-perf``, also where its script is not installed."""

from __future__ import annotations

from gaudi_perf.cli import main

if __name__ == "__main__":
    main(prog_name="gaudi-perf")
