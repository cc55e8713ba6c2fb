"""Load drivers and comparisons that are run by hand."""
