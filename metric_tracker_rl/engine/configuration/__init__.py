"""Configuration of an episode's data and of its play rules."""
