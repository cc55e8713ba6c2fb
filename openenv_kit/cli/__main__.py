"""`python -m openenv_kit.cli`."""

from openenv_kit.cli import main

main()
