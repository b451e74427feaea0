"""Micro-benchmarks of this device, and the constants fitted to them."""
