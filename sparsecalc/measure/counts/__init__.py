"""The real architecture on the meta device, held against the ledger."""
