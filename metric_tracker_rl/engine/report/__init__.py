"""Reading a submitted report."""
