"""Floor 6: documents as text. `views` says what people read of each document, `formats` writes it."""
