"""Finished episodes: their data, frames and flagged series, and the view that tools get."""
