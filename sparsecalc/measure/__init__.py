"""Floor 6: the real architecture. The only place that imports torch and transformers."""
