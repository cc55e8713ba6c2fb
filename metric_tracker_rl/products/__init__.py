"""Contains products, which are aggregates of a user's table from which counts are synthesized."""
