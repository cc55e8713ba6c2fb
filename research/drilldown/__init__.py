"""Measurements of the drill-down environment."""
