"""What engines share: models with dummy or real weights, prompts, and generation with static shapes.

Only workers import these modules, since they import torch; ``prompts`` and ``compilations`` do so inside functions.
"""
