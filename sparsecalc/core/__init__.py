"""Floor 0: ops and sums over ops, workload, precision, units, errors. Imports nothing above it."""
