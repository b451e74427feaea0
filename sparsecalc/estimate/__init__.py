"""Floor 4: what a spec's ops take: counts, bytes, and what fits on a device. Seconds will live here too."""
