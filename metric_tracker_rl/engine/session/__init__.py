"""Sessions: reset, step and their replies."""
