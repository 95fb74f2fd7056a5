"""Parts of ``benchmarks/detection.py``: the rules that others use, noise, and scenarios."""
