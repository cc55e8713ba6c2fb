"""`python -m metric_tracker_rl.cli`."""

from metric_tracker_rl.cli import main

main()
