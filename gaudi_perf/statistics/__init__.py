"""Floor 2: from runs to a verdict. Pure functions of numbers; no input or output."""
