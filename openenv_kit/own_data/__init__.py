"""Reads and cleans a user's table of metrics; environments fit their products to the result."""
