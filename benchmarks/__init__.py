"""Benchmarks that are run by hand, and the load driver that they share."""
