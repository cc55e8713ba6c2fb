"""Play Metric Tracker RL with a model, or, without a key, with a scripted policy.

    uv run python inference.py --help

Standard output carries START, STEP and END lines for evaluators, and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and return the exit code: 0 ran, 1 a task failed to run, 2 bad settings, 130 interrupted.

    Args:
        arguments: command line; None for the process's own.
    """
    from openenv_kit.agent.main import main as run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
