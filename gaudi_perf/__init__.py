"""gaudi-perf: tells, with known error rates, whether BLOOMZ text generation got slower."""

__version__ = "0.1.0"
