"""Subcommands that the funnel adds to the `metric-tracker` command."""
