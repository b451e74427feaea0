"""Files that people measure their own machine with: llama-bench, Ollama, mlx-lm."""
