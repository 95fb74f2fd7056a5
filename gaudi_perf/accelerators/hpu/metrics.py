"""The metrics of the bridge (habana_frameworks.torch.hpu.metrics), and what they say of timed rounds."""

from __future__ import annotations

_STATISTICS = {
    "compilations": ("graph_compilation", "TotalNumber"),
    "compilation_us": ("graph_compilation", "TotalTime"),
    "recipe_cache_misses": ("recipe_cache", "TotalMiss"),
    "cpu_fallbacks": ("cpu_fallback", "TotalNumber"),
}
"""Names here, and the metric and its statistic there."""


class Counters:
    """Statistics of the bridge since a moment; a metric that this release lacks counts as 0."""

    def __init__(self) -> None:
        self._begin: dict[str, float] = {}

    def begin(self) -> None:
        """Count from now on."""
        self._begin = _now()

    def grown(self) -> dict[str, float]:
        """How much each of ``_STATISTICS`` has grown."""
        return {name: value - self._begin.get(name, 0) for name, value in _now().items()}

    def problems(self) -> list[str]:
        """Why rounds since then must not be judged, with the remedy; empty if they may."""
        found, grown = [], self.grown()
        if grown["compilations"]:
            found.append(
                f"{grown['compilations']:.0f} graph compilations inside the timed rounds: allow more warm-up "
                "(--warm-up-limit), and keep shapes static"
            )
        elif grown["recipe_cache_misses"]:
            found.append(
                f"{grown['recipe_cache_misses']:.0f} recipe-cache misses inside the timed rounds: allow more warm-up "
                "(--warm-up-limit), or a larger PT_HPU_RECIPE_CACHE_CONFIG"
            )
        if grown["cpu_fallbacks"]:
            found.append(
                f"{grown['cpu_fallbacks']:.0f} operations fell back to the CPU inside the timed rounds: see the metric "
                "cpu_fallback for their names; this SynapseAI release does not run them on the device"
            )
        return found


def _now() -> dict[str, float]:
    from habana_frameworks.torch.hpu.metrics import metric_global

    values = {}
    for name, (metric_name, statistic) in _STATISTICS.items():
        metric = metric_global(metric_name)
        values[name] = float(dict(metric.stats()).get(statistic, 0)) if metric is not None else 0.0
    return values
