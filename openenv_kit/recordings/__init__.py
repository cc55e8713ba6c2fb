"""Recordings of runs: file format, replay and export."""
