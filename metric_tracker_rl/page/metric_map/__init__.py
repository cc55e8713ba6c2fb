"""Map of an episode, which shows deviations by metric and day in multiples of the threshold.

Until the episode ends, the map shows only values that the player has seen (`known_values.py`).
"""
