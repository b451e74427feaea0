"""Techniques of sparsity: each changes a spec, or the ledger of its steps."""
