"""The CPU as an accelerator."""
