"""Reporting policy: its text, its rules as code, and the daily series that the rules evaluate."""
