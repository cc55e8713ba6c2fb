"""Generates the data of an episode from its configuration."""
