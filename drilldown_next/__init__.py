"""Drill-down: find which segment lost people at which step of a funnel, when, and why."""

__version__ = "0.9.0"
