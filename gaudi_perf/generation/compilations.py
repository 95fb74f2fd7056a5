"""What torch.compile compiles, counted."""

from __future__ import annotations

import time

from gaudi_perf.vocabulary.measurement import GraphCompilation


class Compilations:
    """Counts and times what torch.compile compiles."""

    def __init__(self) -> None:
        self.count = 0
        self._seconds = 0.0
        self._began: float | None = None
        self._from_cache = False
        self._hits_before = 0

    @property
    def total(self) -> GraphCompilation | None:
        """All compilations since the reset, or None if there were none.

        What compiling costs is not known where a graph came from the cache on disk: it is there in a tenth of the time.
        """
        if not self.count:
            return None
        return GraphCompilation(seconds=None if self._from_cache else round(self._seconds, 6), count=self.count)

    def watch(self) -> None:
        """Count from now on, until torch.compile is reset."""
        from torch._dynamo.callback import callback_handler as handler

        for callbacks, ours in ((handler.start_callbacks, self._start), (handler.end_callbacks, self._end)):
            if ours not in callbacks:
                callbacks.append(ours)

    def reset(self) -> None:
        """Forget what was counted."""
        self.count, self._seconds, self._from_cache = 0, 0.0, False

    def problems_since(self, count: int) -> list[str]:
        """What to say of compilations that happened after there had been ``count``."""
        more = self.count - count
        if more <= 0:
            return []
        times = "once" if more == 1 else f"{more} times"
        return [
            f"torch.compile compiled {times} inside the timed rounds: allow more warm-up (--warm-up-limit), and keep "
            "shapes static"
        ]

    def _start(self, *_: object) -> None:
        self._hits_before = _cache_hits()
        self._began = time.perf_counter()

    def _end(self, *_: object) -> None:
        self.count += 1
        self._from_cache |= _cache_hits() > self._hits_before
        if self._began is not None:
            self._seconds += time.perf_counter() - self._began


def _cache_hits() -> int:
    from torch._dynamo.utils import counters

    return int(counters["aot_autograd"]["autograd_cache_hit"] + counters["inductor"]["fxgraph_cache_hit"])
