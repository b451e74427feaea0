"""Floor 1: accelerators, the constants of their kernels, calibrations."""
