"""Results of many plays side by side: reading them, their statistics, and a page to share."""
