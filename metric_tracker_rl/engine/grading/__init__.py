"""Scores and rewards."""
