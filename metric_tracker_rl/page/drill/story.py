"""A drill-down play as its replies have told it: all that the page draws before the end.

The same story serves a visitor's own play, a watched one and a recorded one. Replies of recordings
come as JSON and those of a session as objects; both are read alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from functools import cached_property
from typing import Any

from openenv_kit.page.watching import Frame

DRAWN = ("slice", "compare", "sql")
"""Tools whose replies hold counts."""
UNITS = ("numbers", "rows", "bytes", "calls")
"""What a budget is counted in; a reply tells what is left of each as `…_left`."""


@dataclass(frozen=True)
class Answer:
    """One reply of a tool.

    Attributes:
        method: the tool.
        arguments: what it was asked.
        result: what it told.
    """

    method: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Story:
    """Replies of a play, the reset's first, each with what was done.

    Attributes:
        frames: the replies.
    """

    frames: Sequence[Frame]

    @property
    def opening(self) -> Mapping[str, Any]:
        """The reply to the reset."""
        return self.frames[0].observation

    @property
    def config(self) -> Mapping[str, Any]:
        """What the reset told of the episode."""
        config: Mapping[str, Any] = self.opening["config"]
        return config

    @property
    def dims(self) -> Mapping[str, Sequence[str]]:
        """Values by attribute."""
        dims: Mapping[str, Sequence[str]] = self.config["dimensions"]
        return dims

    @property
    def stages(self) -> Sequence[str]:
        """Stages in funnel order."""
        stages: Sequence[str] = self.config["stages"]
        return stages

    @property
    def by_sql(self) -> bool:
        """Whether counts are read by SQL."""
        return "sql" in self.config

    @cached_property
    def dates(self) -> list[str]:
        """Every date of the episode, ISO, in order."""
        first, last = (Date.fromisoformat(self.config[f"{end}_date"]) for end in ("first", "last"))
        return [(first + timedelta(days=day)).isoformat() for day in range((last - first).days + 1)]

    @cached_property
    def answers(self) -> list[Answer]:
        """Replies of tools, oldest first."""
        told = (frame.observation.get("analysis_result") for frame in self.frames)
        return [Answer(each["method"], each["arguments"], each["result"]) for each in told if each]

    @property
    def drawn(self) -> list[Answer]:
        """Replies that hold counts."""
        return [each for each in self.answers if each.method in DRAWN]

    @property
    def entries(self) -> Sequence[Mapping[str, Any]]:
        """The change log; empty until it was read."""
        read = next((each for each in self.answers if each.method == "change_log"), None)
        return read.result["entries"] if read else ()

    @property
    def limits(self) -> dict[str, int]:
        """What may be read and done in all, by unit."""
        budget, calls = self.config["budget"], self.config["max_steps"]
        return {unit: {**budget, "calls": calls}[unit] for unit in self.left}

    @cached_property
    def left(self) -> dict[str, int]:
        """What may still be read and done, by unit."""
        told = (frame.observation for frame in reversed(self.frames))
        last = next(each for each in told if each.get("calls_left") is not None)
        return {
            unit: last[f"{unit}_left"] for unit in UNITS if last.get(f"{unit}_left") is not None
        }

    @property
    def rows(self) -> Sequence[Any]:
        """Rows of the report as they were submitted or checked last; none before that."""
        for frame in reversed(self.frames):
            asked = frame.action.get("analysis_args")
            given = asked.get("rows") if isinstance(asked, Mapping) else None
            rows = given or frame.action.get("classifications")
            if isinstance(rows, Sequence) and not isinstance(rows, str):
                return rows
        return ()

    @property
    def breakdown(self) -> Mapping[str, Any] | None:
        """What the last reply told of the grade; None before the end."""
        told = self.frames[-1].observation.get("reward_breakdown")
        if told is None:
            return None
        plain: Mapping[str, Any] = told if isinstance(told, Mapping) else told.model_dump()
        return plain


def segment_text(segment: Mapping[str, Any]) -> str:
    """A segment as people read it."""
    return ", ".join(f"{name} = {value}" for name, value in segment.items()) or "everybody"
