"""The machine that is measured: its devices, their conditions, and times and memory taken on them."""
