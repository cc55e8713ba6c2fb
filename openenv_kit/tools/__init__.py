"""Typed tools: their registry, argument schemas and the catalogue that models are given."""
