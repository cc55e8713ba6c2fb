"""Certificates of episodes, and golden digests."""
