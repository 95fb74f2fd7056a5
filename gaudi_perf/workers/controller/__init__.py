"""The controller's side: starting worker groups, monitoring ranks, measuring."""
