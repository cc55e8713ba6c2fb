"""Generated episodes with their data frames and flagged series, and the view that tools receive."""
