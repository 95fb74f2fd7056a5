"""What engines share: models with dummy or real weights, prompts, and generation with static shapes.

These modules import torch, so only workers import them.
"""
