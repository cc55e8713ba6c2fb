"""Incident environment with raw evidence: the next edition of firewatch_env."""
