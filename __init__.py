"""Empty on purpose: `openenv push` takes only a folder with this file and client.py in it.

The package is metric_tracker_rl; nothing imports this one.
"""
