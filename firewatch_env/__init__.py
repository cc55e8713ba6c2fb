"""FirewatchEnv: incidents in a graph of services, to investigate, repair and declare over."""
