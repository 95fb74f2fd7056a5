"""An accelerator as another package would have it: nothing of gaudi_perf knows of it."""
