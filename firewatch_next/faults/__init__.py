"""Fault types, one file each."""
