"""Writes what the documentation shows from the code itself: plots, tables, the tool reference.

Run it with `uv run python -m docs.generate`; with `--check` it only says what is out of step.
"""
