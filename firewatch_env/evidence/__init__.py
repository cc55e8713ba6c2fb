"""What a player sees of the world: meters, alerts, log lines and observations."""
