"""Reports, made from documents alone."""
