"""The words of the project as typed, validated documents. No torch, no input or output."""
