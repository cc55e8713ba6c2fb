"""Adapters to trainers and evaluation frameworks, one module each, for every environment.

Each module imports its own trainer and no other: `openenv_kit.trainers.verifiers` needs
verifiers, and so on. What they share, an episode played by tool calls, needs none: see
`tool_calls`.

Everywhere in them, `environment` is the name of what is played, None for what the variable
ENVIRONMENT names; `base_url` is a server to play on, None for this process; and `split`, `first`
and `count` choose tasks as `openenv_kit.datasets.split_rows.list_task_rows` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def require_package(requirement: str) -> Iterator[None]:
    """Imports of a trainer; where one is missing, the error says what pip installs it by."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"{missing.name} is not installed: pip install '{requirement}'", name=missing.name
        ) from None
