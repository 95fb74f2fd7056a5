"""What the stack of an NVIDIA GPU consists of: which GPUs there are, how they are driven and set, what is captured."""
