"""An emulated Gaudi: torch's device "hpu" on host memory, for tests and for people without a Gaudi.

``emulated_gaudi.control`` prepares a worker's environment and ``emulated_gaudi.build`` compiles the device; neither
imports torch. What a worker imports (``habana_frameworks``, ``pyhlml``) lies under ``emulated_gaudi/site`` and is
found through the worker's PYTHONPATH only. Nothing here is installed with the suite. What is the same as on a Gaudi
and what is not: docs/emulated_gaudi.md.
"""
