"""EMULATED: a stand-in for Habana's package that runs device "hpu" on host memory. See docs/emulated_gaudi.md."""

EMULATED = True
