"""Scores and rewards of submitted reports."""
