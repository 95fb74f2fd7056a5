"""Worker groups: ``controller`` starts, asks, monitors and ends them; ``rank`` is what runs in their processes."""
