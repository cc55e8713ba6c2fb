"""Reset arguments by what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TASK_SELECTORS = ("episode_id", "split", "index")
"""Those that name the episode, or its task in a split."""


def get_extra_reset_arguments(reset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that say how the task is played; null counts as left out."""
    return {
        name: value
        for name, value in reset.items()
        if name not in TASK_SELECTORS and value is not None
    }
