"""Certificates and golden digests."""
