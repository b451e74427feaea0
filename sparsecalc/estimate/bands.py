"""How wide a band is."""

BAND = 1.2816
"""Standard normal quantile of an 80 % band."""
