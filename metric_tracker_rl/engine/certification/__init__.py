"""Certification of generated episodes, and golden digests that detect changes in generated data."""
