"""Map of an episode: deviations by metric and day, in multiples of the reporting threshold.

Before the end of the episode, it shows only values that the player has seen (`known_values.py`).
"""
