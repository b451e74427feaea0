"""What a serving engine's log prints when it starts: weights, profile, and the KV cache that is left."""
