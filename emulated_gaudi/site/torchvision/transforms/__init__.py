"""EMULATED, and empty: optimum-habana 1.21 imports torchvision.transforms without need or declaration."""
