"""Names, funnel, levels and report rows, which everything else is written with."""
