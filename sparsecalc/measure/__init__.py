"""Floor 7: the real architecture, counted, derived, timed and calibrated; the one place with torch and transformers."""
