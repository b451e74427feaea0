"""Floor 7: the real architecture, counted, derived, timed and calibrated. Only here torch and transformers come in."""
