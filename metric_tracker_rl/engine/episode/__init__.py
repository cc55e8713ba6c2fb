"""Generated episodes with their data frames and flagged series, and the view for tools."""
