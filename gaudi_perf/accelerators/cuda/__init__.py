"""NVIDIA GPUs: nvidia-smi and NVML, what is captured for a token, and how the GPU is set."""
