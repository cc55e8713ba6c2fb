"""Measures what the rungs of the funnel require players to read: `python -m research.ladder`."""
