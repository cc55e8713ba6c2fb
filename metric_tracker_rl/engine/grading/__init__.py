"""Computation of the scores and rewards of submitted reports."""
