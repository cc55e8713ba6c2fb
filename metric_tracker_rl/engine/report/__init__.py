"""Parsing of submitted reports."""
