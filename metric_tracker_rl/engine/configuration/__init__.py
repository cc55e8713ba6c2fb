"""Configuration of an episode's data and of its rules of play."""
