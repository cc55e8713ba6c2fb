"""Experiments and measurements. They are not in the wheel."""
