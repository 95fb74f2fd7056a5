"""The controller's side: launching worker groups, monitoring ranks, measuring."""
