"""Definitions of the funnel: names, stages, levels, thresholds, severity and report rows."""
