"""What the tools for observation show of a world: one file per kind of evidence."""
