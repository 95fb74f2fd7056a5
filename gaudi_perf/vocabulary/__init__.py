"""Floor 1: the words of the project as typed, validated documents. No torch, no input or output."""
