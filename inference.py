"""Play Metric Tracker RL with a model, or, if no key is set, with a scripted policy.

    uv run python inference.py --help

Standard output contains only START, STEP and END lines, for evaluators.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code.

    Args:
        arguments: the command line; None for that of the process.

    Returns:
        0 if all tasks ran, 1 if a task failed to run, 2 for invalid settings, 130 if interrupted.
    """
    from openenv_kit.agent.main import main as run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
