"""Players of the drill-down tier: the reference, and heuristics that must stay below it."""
