"""Floor 6: documents as text. `views` says what people read; one file per format writes it."""
