"""Floor 2: from a Hugging Face config to a `ModelSpec`, one file per family in `families/`, named after model_type."""
