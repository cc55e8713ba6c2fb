"""Tasks: how they are drawn, their splits, and the named ones."""
