"""Floor 3: find and load models, accelerators and number formats, by name, path or Hub id."""
