"""A spec from transformers' own class, for families without a reader."""
