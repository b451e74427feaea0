"""The real architecture: built on the meta device, run there, or some of its layers on a real device."""
