"""Sessions that run episodes: they execute resets and steps and create the replies."""
