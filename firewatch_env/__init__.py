"""FirewatchEnv: incidents in a graph of services, to investigate, repair and declare over."""

__version__ = "0.1.0"
