"""Scripted players and what they need."""
