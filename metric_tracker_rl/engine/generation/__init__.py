"""Generator of an episode's data from its configuration."""
