"""The bridge's exceptions."""


class MetricNotFound(Exception):  # noqa: N818
    pass


class InvalidMetricDumpFileFormat(Exception):  # noqa: N818
    pass


class InvalidMetricDumpTrigger(Exception):  # noqa: N818
    pass
