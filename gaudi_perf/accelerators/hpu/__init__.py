"""Gaudi: hl-smi and pyhlml, the releases of SynapseAI and what goes with them, optimum-habana in the worker."""
