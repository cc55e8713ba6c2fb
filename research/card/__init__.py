"""`python -m research.card`: the benchmark card, written from measured results."""
