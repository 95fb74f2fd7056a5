"""Metrics in files: PT_HPU_METRICS_FILE, _FILE_FORMAT and _DUMP_TRIGGERS, the bridge's file names and contents."""

import json
import os
from datetime import datetime
from enum import Enum


class MetricDumpFormat(str, Enum):
    json = "json"
    text = "text"


class MetricDumpTrigger(str, Enum):
    process_exit = "process_exit"
    mark_step = "mark_step"
    metric_change = "metric_change"
    user = "user"


def _environment(name, default=None):
    return os.environ.get(f"PT_HPU_{name}", os.environ.get(f"HABANA_PT_{name}", default))


def _for_rank(name):
    base, dot, extension = name.rpartition(".")
    base, extension = (base, dot + extension) if dot else (name, "")
    for variable in ("RANK", "OMPI_COMM_WORLD_RANK"):
        if variable in os.environ:
            return f"{base}-rank{os.environ[variable]}{extension}"
    return name


class MetricSaver:
    def __init__(self, file_name="", triggers=(), format=MetricDumpFormat.json):
        self._name = file_name or _environment("METRICS_FILE")
        if file_name:
            self._triggers, self._format = list(triggers), MetricDumpFormat(format)
        else:
            named = _environment("METRICS_DUMP_TRIGGERS", "process_exit")
            self._triggers = [MetricDumpTrigger[t] for t in named.split(",")] if self._name else []
            self._format = MetricDumpFormat[_environment("METRICS_FILE_FORMAT", "json")]
        self._file = None
        self._empty = True

    def wants(self, trigger):
        return trigger in self._triggers

    def process_trigger(self, trigger, metrics):
        if not self.wants(trigger):
            return
        for metric in metrics:
            self._write(metric.name(), metric.stats(), trigger.value, datetime.now())

    def close(self):
        if self._file:
            if self._format is MetricDumpFormat.json:
                self._file.write("]\n")
            self._file.close()
            self._file = None

    def _open(self):
        name = os.path.abspath(_for_rank(self._name))
        os.makedirs(os.path.dirname(name), exist_ok=True)
        attempt, count = name, 0
        while self._file is None:
            try:
                self._file = open(attempt, "x")
            except FileExistsError:
                count += 1
                attempt = f"{name}.{count}"
        if self._format is MetricDumpFormat.json:
            self._file.write("[")

    def _write(self, name, stats, trigger, when):
        if self._file is None:
            self._open()
        if self._format is MetricDumpFormat.json:
            document = {
                "metric_name": name,
                "triggered_by": trigger,
                "generated_on": when.isoformat(),
                "statistics": dict(stats),
            }
            self._file.write(("" if self._empty else ",\n") + json.dumps(document))
        else:
            lines = [f"Metric name: {name}", f"Triggered by: {trigger}", f"Generated on: {when}", "Statistics:"]
            self._file.write("\n".join([*lines, *(f"\t{key}: {value}" for key, value in stats)]) + "\n\n")
        self._empty = False
        self._file.flush()
