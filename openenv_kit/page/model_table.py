"""The agent's table for a watched model: passes what the model says and calls on to the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openenv_kit.agent.connection import Observation
from openenv_kit.agent.table import Event, Table

if TYPE_CHECKING:
    from openenv_kit.page.model import ModelPlayback

LIMIT = re.compile(r"[A-Z]+_[A-Z_]+ \((\d+)\)")
SETTING = re.compile(r" \([A-Z]+_[A-Z_]+\)")


class _NoLines:
    """Takes the place of the lines on standard output; prints nothing."""

    def step(self, label: str, reward: float, done: bool, problem: str | None) -> None:
        """Do nothing."""


class WatchedTable(Table):
    """A table whose player is watched.

    Args:
        watched: the play on the page; takes the steps.
        opening: observation of the reset.
    """

    def __init__(self, watched: ModelPlayback, opening: Observation) -> None:
        super().__init__(watched.environment, watched, _NoLines(), opening)  # type: ignore[arg-type]
        self._watched = watched

    def hear(self, answer: Event) -> None:
        """Show what the model said."""
        super().hear(answer)
        self._watched.heard(answer.words, answer.calls)

    def refuse(self, name: str, arguments: Mapping[str, Any] | str, problem: str) -> None:
        """Show the call that was refused."""
        super().refuse(name, arguments, problem)
        self._watched.refused(name, arguments, without_settings(problem))


def without_settings(text: str) -> str:
    """A text without names of settings, which nobody can change from the page."""
    return SETTING.sub("", LIMIT.sub(r"\1 tokens", text))
