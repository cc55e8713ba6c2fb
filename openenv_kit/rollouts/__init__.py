"""In-process rollouts: scripted policies, curricula and token budgets."""
