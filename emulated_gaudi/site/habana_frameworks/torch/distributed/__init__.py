"""The collectives live in hccl."""
