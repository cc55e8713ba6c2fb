"""What admits and measures Firewatch's tasks; `python -m research.firewatch` prints the figures."""
