"""Kit for deterministic tool environments: sessions, rollouts, audits, server, agent, trainers."""
