"""Replaying and scoring of a finished episode."""
