"""hpu.metrics: metric_global, metric_localcontext, metrics_dump."""

from .exceptions import *  # noqa: F403
from .metrics import metric_global, metric_localcontext, metrics_dump  # noqa: F401
