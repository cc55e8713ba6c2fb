"""Playing in process: driver, vector stepping, recorded runs, replay."""
