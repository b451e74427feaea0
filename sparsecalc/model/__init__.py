"""Floor 1: what a model is. Each part has fields (Hugging Face's names) and `ops(workload)`."""
