"""The machine at hand, as its system tells it: accelerators, CPU and memory, without measuring anything."""
