"""Runs the `metric-tracker` command with `python -m openenv_kit.cli`."""

from openenv_kit.cli import main

main()
