"""torch.compile: where it keeps what it compiles, and how much it compiles."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from gaudi_perf.vocabulary.run import GraphCompilation


def compiler_environment(directory: Path) -> dict[str, str]:
    """Variables of a worker that compiles; what it compiles is kept between runs.

    ``directory`` is private to the worker group: it is used where the user has no cache directory.
    """
    return {
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
        "TORCHINDUCTOR_CACHE_DIR": os.environ.get("TORCHINDUCTOR_CACHE_DIR") or str(user_cache(directory) / "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # else a pool of processes
    }


def user_cache(otherwise: Path) -> Path:
    """The suite's part of XDG_CACHE_HOME, else of HOME's .cache; another directory where neither can be written."""
    home = os.environ.get("HOME")
    for base in filter(None, (os.environ.get("XDG_CACHE_HOME"), home and f"{home}/.cache")):
        directory = Path(base, "gaudi-perf")
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
            if os.access(directory, os.W_OK):
                return directory
    return otherwise


class Compilations:
    """Counts and times what torch.compile compiles."""

    def __init__(self) -> None:
        self._count, self._seconds, self._from_cache = 0, 0.0, False
        self._began, self._hits_before, self._before_rounds = 0.0, 0, 0

    @property
    def total(self) -> GraphCompilation | None:
        """All compilations, or None if there were none.

        What compiling costs is not known where a graph came from the cache on disk: it is there in a tenth of the time.
        """
        if not self._count:
            return None
        return GraphCompilation(seconds=None if self._from_cache else round(self._seconds, 6), count=self._count)

    def watch(self) -> None:
        """Begin torch.compile anew, and count from now on, until another watches."""
        import torch
        from torch._dynamo.callback import callback_handler as handler

        _keep_headers()
        torch.compiler.reset()  # forgets who watched before, too
        for callbacks, ours in ((handler.start_callbacks, self._start), (handler.end_callbacks, self._end)):
            if ours not in callbacks:
                callbacks.append(ours)

    def begin_rounds(self) -> None:
        """Timed rounds begin: nothing is to be compiled from now on."""
        self._before_rounds = self._count

    def problems(self) -> list[str]:
        """What to say of compilations since the rounds began."""
        more = self._count - self._before_rounds
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
        self._count += 1
        self._from_cache |= _cache_hits() > self._hits_before
        self._seconds += time.perf_counter() - self._began


def _keep_headers() -> None:
    """Keep precompiled C++ headers with all else that is compiled. In torch's own place, a directory in that for
    temporary files whose name is known, nobody removes them, and another user's would be taken for them.
    """
    from torch._inductor import codecache

    cache = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if cache and hasattr(codecache, "_HEADER_DIR"):
        codecache._HEADER_DIR = os.path.join(cache, "precompiled_headers")
        codecache._HEADER_LOCK_DIR = os.path.join(codecache._HEADER_DIR, "locks")


def _cache_hits() -> int:
    from torch._dynamo.utils import counters

    return int(counters["aot_autograd"]["autograd_cache_hit"] + counters["inductor"]["fxgraph_cache_hit"])
