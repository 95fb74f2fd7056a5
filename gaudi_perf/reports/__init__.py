"""Floor 5: reports, made from documents alone."""
