"""Titles of episodes: the task, the product with its level, or the split with its index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openenv_kit.page.visitor import Visitor
from openenv_kit.reset_arguments import PRODUCT


def format_title_of_running_episode(visitor: Visitor) -> str:
    """Return the title of the visitor's episode, or of the visitor's own data."""
    if visitor.is_private:
        return "Your table"
    return format_title_of_reset(visitor.reset, visitor.task_id)


def format_title_of_reset(reset: Mapping[str, Any], task_id: str = "") -> str:
    """Return the title of the episode that a reset starts.

    Args:
        reset: reset arguments.
        task_id: task id that the server has replied; empty before the reset.
    """
    product = reset.get(PRODUCT.name)
    if product is not None and not reset.get("task_id"):
        name = product.get("name") if isinstance(product, Mapping) else product
        return " · ".join(str(part) for part in (name, reset.get("difficulty")) if part)
    if task_id or reset.get("task_id"):
        return str(task_id or reset["task_id"])
    if reset.get("split"):
        return f"{reset['split']}-{reset.get('index', 0)}"
    return (
        " · ".join(str(reset[name]) for name in ("difficulty", "seed") if name in reset)
        or "episode"
    )
