"""Imports a user's table as a product, compares later tables with it, and investigates tables."""
