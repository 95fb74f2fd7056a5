"""A process that refreshes one case over and over, for the tests that kill it.

Its arguments: the directory, the devices of its case, how often to refresh, and the seconds between.
It prints the level after every refresh that is done, so that the test knows what must be there.
"""

from __future__ import annotations

import sys
import time

from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh
from tests.stores.factories import make_run


def main(directory: str, devices: int, times: int, pause: float) -> None:
    store = BaselineStore(directory)
    print("ready", flush=True)
    sys.stdin.readline()
    for count in range(1, times + 1):
        # 40 rounds a run make the file some tens of kilobytes: a torn write would be seen.
        runs = [
            make_run(
                [float(count)] * 40,
                run_id=f"{devices}x-{count:07}-{index}",
                session=f"session-{count:07}",
                devices=devices,
            )
            for index in range(5)
        ]
        done = apply(plan_refresh(store, Refresh(runs, accept_regression=f"refresh {count}", sessions_kept=1)))
        assert not done.refused, done.refused
        print(count, flush=True)
        time.sleep(pause)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
