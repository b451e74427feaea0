"""GGUF files: their headers, read with bounds of our own, as Hugging Face configs."""
