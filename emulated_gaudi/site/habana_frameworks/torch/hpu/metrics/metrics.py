"""The bridge's four metrics, as differences between two readings of the device's counters.

Names and statistics follow the bridge. Times of compilations are microseconds, of defragmentations milliseconds.
"""

import atexit
import os
from contextlib import contextmanager
from statistics import mean

from habana_frameworks.torch._device import is_lazy, native

from .exceptions import MetricNotFound
from .saver import MetricDumpFormat, MetricDumpTrigger, MetricSaver


def _is_on(variable):
    return os.getenv(variable, "").lower() in ("y", "yes", "t", "true", "on", "1")


def _grown(now, then):
    return {key: value - then.get(key, 0) for key, value in now.items() if value > then.get(key, 0)}


class Metric:
    """Counts from its making (or reset) until stop."""

    def __init__(self):
        self._end = None
        self.reset()

    def name(self):
        return self._NAME

    def reset(self):
        self._begin = native.counters()
        if self._end is not None:
            self._end = self._begin

    def start(self):
        if self._end is not None:
            self._begin, self._end = native.counters(), None

    def stop(self):
        if self._end is None:
            self._end = native.counters()

    def _now(self):
        return self._end or native.counters()

    def stats(self):
        raise NotImplementedError


class GraphCompilationMetric(Metric):
    _NAME = "graph_compilation"

    def stats(self):
        begin, end = self._begin["compilations"], self._now()["compilations"]
        # The bridge announces no compilation of the eager mode (backend/synapse_helpers/graph.cpp).
        recipes = native.compilations(begin)[: end - begin] if is_lazy() else []
        total = sum(duration for _, duration in recipes)
        result = [
            ("TotalNumber", len(recipes)),
            ("TotalTime", total),
            ("AvgTime", total / len(recipes) if recipes else 0),
        ]
        if _is_on("PT_HPU_METRICS_GC_DETAILS"):
            result.append(("recipe", recipes))
        return result


class CpuFallbackMetric(Metric):
    _NAME = "cpu_fallback"

    def stats(self):
        operations = _grown(self._now()["cpu_fallbacks"], self._begin["cpu_fallbacks"])
        return [("TotalNumber", sum(operations.values())), ("FallbackOps", operations)]


class MemoryDefragmentationMetric(Metric):
    _NAME = "memory_defragmentation"

    def stats(self):
        begin, end = self._begin["defragmentations"], self._now()["defragmentations"]
        happened = native.defragmentations(begin)[: end - begin]
        times = [milliseconds for success, milliseconds in happened if success]
        return [
            ("TotalNumber", len(happened)),
            ("TotalSuccessful", len(times)),
            ("AvgTime", mean(times) if times else 0),
            ("MaxTime", max(times, default=0)),
        ]


class RecipeCacheMetric(Metric):
    _NAME = "recipe_cache"

    def stats(self):
        now = self._now()
        hits = _grown(now["cache_hits"], self._begin["cache_hits"])
        misses = _grown(now["cache_misses"], self._begin["cache_misses"])
        return [
            ("TotalHit", sum(hits.values())),
            ("RecipeHit", hits),
            ("TotalMiss", sum(misses.values())),
            ("RecipeMiss", misses),
        ]


_TYPES = {m._NAME: m for m in (GraphCompilationMetric, CpuFallbackMetric, MemoryDefragmentationMetric)}
if _is_on("PT_HPU_ENABLE_CACHE_METRICS"):
    _TYPES[RecipeCacheMetric._NAME] = RecipeCacheMetric
_global = {name: kind() for name, kind in _TYPES.items()}
_saver = MetricSaver()


def metric_global(name):
    """The metric since the process began; None if there is no such metric."""
    return _global.get(name)


@contextmanager
def metric_localcontext(name):
    """The metric of what happens inside."""
    if name not in _TYPES:
        raise MetricNotFound(f"Metric with given name ({name}) doesn't exist.")
    metric = _TYPES[name]()
    try:
        yield metric
    finally:
        metric.stop()


def metrics_dump(file_name, format=MetricDumpFormat.json):
    """Writes the global metrics to a file."""
    saver = MetricSaver(file_name, triggers=[MetricDumpTrigger.user], format=format)
    saver.process_trigger(MetricDumpTrigger.user, _global.values())
    saver.close()


_last_stats = {}


def _notice_step():
    """mark_step: the triggers mark_step and (looked at here, not at the moment itself) metric_change."""
    _saver.process_trigger(MetricDumpTrigger.mark_step, _global.values())
    if _saver.wants(MetricDumpTrigger.metric_change):
        for name, metric in _global.items():
            stats = metric.stats()
            if _last_stats.setdefault(name, type(metric)().stats()) != stats:
                _last_stats[name] = stats
                _saver.process_trigger(MetricDumpTrigger.metric_change, [metric])


@atexit.register
def _at_exit():
    _saver.process_trigger(MetricDumpTrigger.process_exit, _global.values())
    _saver.close()
