"""gaudi-perf: tells, with known error rates, whether BLOOMZ text generation got slower."""

import sys

__version__ = "0.1.0"

# A stack of --stacks may be of any Python: what follows would not even be read by an older one.
if sys.version_info < (3, 10):  # noqa: UP036
    raise ImportError("gaudi-perf needs Python 3.10 or later, and this is " + sys.version.split()[0])
