"""hpu.metrics: metric_global, metric_localcontext, metrics_dump."""

from .exceptions import *
from .metrics import metric_global, metric_localcontext, metrics_dump
