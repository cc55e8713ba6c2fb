"""Products: aggregates of a user's table, and the synthetic counts that are drawn from them."""
