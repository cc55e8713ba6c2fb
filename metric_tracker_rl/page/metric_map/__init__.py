"""The map of an episode: metric × day, in multiples of the reporting threshold.

Before the end it draws what replies have told (`seen.py`), and never looks into the episode.
"""
