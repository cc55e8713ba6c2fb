"""Results of players: reads rollouts, compares players, and checks and ranks submissions."""
