"""Parts beside the text decoder, from their own configs: vision and audio towers."""
