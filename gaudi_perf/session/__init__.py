"""One session: measure, judge, conclude, refresh, write. pytest's tests and ``gaudi-perf complete`` are its faces.

Nothing is imported here, so that faces read their options before anything heavy is loaded.
"""
