"""Grading of submitted reports: scores and rewards."""
