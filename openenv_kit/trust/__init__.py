"""Audit runs, exploits and sealing: what shows that a score means something."""
