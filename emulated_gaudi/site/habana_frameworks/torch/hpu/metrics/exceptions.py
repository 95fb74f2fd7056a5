"""The bridge's exceptions."""


class MetricNotFound(Exception):
    pass


class InvalidMetricDumpFileFormat(Exception):
    pass


class InvalidMetricDumpTrigger(Exception):
    pass
