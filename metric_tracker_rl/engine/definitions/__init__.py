"""Definitions that the engine shares, such as funnel stages, levels and report rows."""
