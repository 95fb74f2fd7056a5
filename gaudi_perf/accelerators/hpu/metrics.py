"""The metrics of the bridge (habana_frameworks.torch.hpu.metrics), and what they say of timed rounds."""

from __future__ import annotations

from collections.abc import Mapping


class Counters:
    """One statistic of each of several metrics of habana_frameworks, since a moment."""

    def __init__(self, **statistics: str) -> None:
        """Nothing is read.

        Args:
            statistics: by the metric's name, the statistic; a metric that this release lacks counts as 0.
        """
        self._statistics = statistics
        self._begin: dict[str, float] = {}

    def begin(self) -> None:
        """Count from now on."""
        self._begin = self._now()

    def grown(self) -> dict[str, float]:
        """How much each statistic has grown."""
        return {name: value - self._begin.get(name, 0) for name, value in self._now().items()}

    def _now(self) -> dict[str, float]:
        from habana_frameworks.torch.hpu.metrics import metric_global

        values = {}
        for name, statistic in self._statistics.items():
            metric = metric_global(name)
            values[name] = float(dict(metric.stats()).get(statistic, 0)) if metric is not None else 0.0
        return values


def problems_in(grown: Mapping[str, float]) -> list[str]:
    """Why rounds must not be judged during which the metrics grew so, with the remedy; empty if they may."""
    found = []
    if grown["graph_compilation"]:
        found.append(
            f"{grown['graph_compilation']:.0f} graph compilations inside the timed rounds: allow more warm-up "
            "(--warm-up-limit), and keep shapes static"
        )
    elif grown["recipe_cache"]:
        found.append(
            f"{grown['recipe_cache']:.0f} recipe-cache misses inside the timed rounds: allow more warm-up "
            "(--warm-up-limit), or a larger PT_HPU_RECIPE_CACHE_CONFIG"
        )
    if grown["cpu_fallback"]:
        found.append(
            f"{grown['cpu_fallback']:.0f} operations fell back to the CPU inside the timed rounds: see the metric "
            "cpu_fallback for their names; this SynapseAI release does not run them on the device"
        )
    return found
