"""Writes the benchmark report from measured results."""
