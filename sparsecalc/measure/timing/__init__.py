"""Real layers and whole models on this machine, timed beside their predictions."""
