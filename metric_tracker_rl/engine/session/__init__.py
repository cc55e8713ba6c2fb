"""Playing an episode: actions and replies."""
