"""Certification of generated episodes, and golden digests that detect changes of the generator."""
