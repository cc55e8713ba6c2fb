"""Recorded runs: file format, replay and export."""
