"""Pure functions of numbers; no runs, files or sentences. ``judging`` asks them for verdicts."""
