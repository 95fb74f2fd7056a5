"""What tells about Gaudi: hl-smi, pyhlml, the stack's versions, the metrics of the bridge."""
