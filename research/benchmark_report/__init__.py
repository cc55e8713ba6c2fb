"""`python -m research.benchmark_report`: the benchmark card, written from measured results."""
