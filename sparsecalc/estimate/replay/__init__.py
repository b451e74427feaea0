"""A serving engine replayed event by event: requests arrive, wait, are scheduled into steps, and leave."""
