"""The map of an episode: metric × day, in multiples of the reporting threshold.

Before the end it shows only values that replies contained (`known_values.py`).
"""
