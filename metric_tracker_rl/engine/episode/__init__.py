"""Generated episodes: data, metric frames and flagged series."""
