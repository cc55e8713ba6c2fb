"""What the replies of a drill-down told: changes of segments, by stage, week and day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date as Date
from datetime import timedelta
from statistics import median
from typing import Any

from openenv_kit.page.playback import PlaybackStep

Segment = tuple[tuple[str, str], ...]
"""Attribute and value, sorted; empty for everybody."""


@dataclass
class Seen:
    """What is known of an episode.

    Attributes:
        config: what the opening told.
        weeks: first days of the calendar weeks.
        changes: per mille of the usual, by segment, stage and first day of the week.
        days: the same, by day.
        log: entries of the change log, each by field; empty until it was read.
    """

    config: Mapping[str, Any]
    weeks: list[str] = field(default_factory=list)
    changes: dict[tuple[Segment, str, str], float] = field(default_factory=dict)
    days: dict[tuple[Segment, str, str], float] = field(default_factory=dict)
    log: list[Mapping[str, Any]] = field(default_factory=list)

    def strongest(self, segment: Segment, week: str) -> tuple[str, float] | None:
        """Stage and size of the largest change of a segment in a week; None where none is known."""
        return max(self._known(segment, week), key=lambda each: abs(each[1]), default=None)

    def _known(self, segment: Segment, week: str) -> list[tuple[str, float]]:
        places = [(stage, (segment, stage, week)) for stage in self.config["stages"]]
        return [(stage, self.changes[at]) for stage, at in places if at in self.changes]

    def moved(self, segment: Segment, week: str) -> list[tuple[str, float]]:
        """Stages, in order, whose change is at least half of the largest, and their changes.

        Of lost events the rise one step later is always the larger, and they are reported before.
        """
        known = self._known(segment, week)
        least = max((abs(size) for _, size in known), default=0.0) / 2
        return [(stage, size) for stage, size in known if size and abs(size) >= least]

    def run(self, segment: Segment, stage: str, week: str) -> tuple[str, str]:
        """First and last day of the week's largest change, which may run into other weeks."""
        known = {day: self.days.get((segment, stage, day), 0.0) for day in days_of(week)}
        peak = max(known, key=lambda day: abs(known[day]))
        size = known[peak]
        if not size:
            return week, days_of(week)[-1]

        def end(day: str, step: int) -> str:
            while True:
                following = (Date.fromisoformat(day) + timedelta(days=step)).isoformat()
                if self.days.get((segment, stage, following), 0.0) / size <= 0.5:
                    return day
                day = following

        return end(peak, -1), end(peak, 1)

    def size(self, segment: Segment) -> float:
        """Largest known change of a segment, in per mille."""
        found = [self.strongest(segment, week) for week in self.weeks]
        return max((abs(each[1]) for each in found if each), default=0.0)

    def segments(self) -> set[Segment]:
        """Every segment of which something is known."""
        return {segment for segment, _, _ in self.changes}

    def learn(self, asked: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Read the answer to a `slice`; one that fixes several values of an attribute is left."""
        where = dict(asked.get("where") or {})
        if not all(isinstance(value, str) for value in where.values()):
            return
        groups = list(asked.get("group_by") or ())
        tables: dict[tuple[Segment, str], Sequence[Any]] = {}
        for row in result["rows"]:
            cells = dict(zip(result["columns"], row, strict=True))
            own = {name: cells.pop(name) for name in groups}
            segment = tuple(sorted({**where, **own}.items()))
            tables.update({(segment, stage): numbers for stage, numbers in cells.items()})
        measure = asked.get("measure") or "counts"
        for (segment, stage), values in tables.items():
            relative = (
                values if measure == "change" else self._against(tables, segment, stage, measure)
            )
            for date, value in zip(result["dates"], relative, strict=False):
                if value is None:
                    continue
                if asked.get("every") == "week":
                    self.changes[segment, stage, date] = float(value)
                else:
                    self._note_day(segment, stage, date, float(value))

    def _note_day(self, segment: Segment, stage: str, day: str, value: float) -> None:
        self.days[segment, stage, day] = value
        week = next((w for w in reversed(self.weeks) if w <= day), "")
        place = (segment, stage, week)
        if week and abs(value) > abs(self.changes.get(place, 0.0)):
            self.changes[place] = value

    def _against(
        self,
        tables: Mapping[tuple[Segment, str], Sequence[Any]],
        segment: Segment,
        stage: str,
        measure: str,
    ) -> list[float | None]:
        """Counts or rates as changes against their own median, as anybody could work out."""
        values = [float(each) for each in tables[segment, stage]]
        stages = self.config["stages"]
        at = stages.index(stage)
        if measure == "counts" and at:
            above = tables.get((segment, stages[at - 1]))
            if above is None:
                return []
            values = [value / (other or 1) for value, other in zip(values, above, strict=True)]
        usual = median(values) if len(values) > 2 else 0.0
        return [1000 * (value - usual) / usual if usual else None for value in values]


def seen_in(frames: Sequence[PlaybackStep]) -> Seen:
    """What the replies of a play have told."""
    seen = empty(frames[0].observation["config"])
    for frame in frames[1:]:
        result = frame.observation.get("result")
        tool, asked = frame.action.get("tool"), frame.action.get("arguments") or {}
        if result and tool == "slice":
            seen.learn(asked, result)
        elif result and tool == "change_log":
            seen.log = [dict(zip(result["columns"], row, strict=True)) for row in result["rows"]]
    return seen


def empty(config: Mapping[str, Any]) -> Seen:
    """Nothing known yet, of an episode with this configuration."""
    return Seen(config, list(_weeks(config["first_date"], config["last_date"])))


def days_of(week: str) -> list[str]:
    """ISO dates of the week that begins on a day."""
    first = Date.fromisoformat(week)
    return [(first + timedelta(days=day)).isoformat() for day in range(7)]


def _weeks(first: str, last: str) -> Iterator[str]:
    day = Date.fromisoformat(first)
    while day <= Date.fromisoformat(last):
        yield day.isoformat()
        day += timedelta(days=7)


def text_of(segment: Iterable[tuple[str, str]]) -> str:
    """A segment as it is typed and as a line of the picture is called."""
    return ", ".join(f"{name}={value}" for name, value in segment)


def segment_of(text: str) -> Segment | None:
    """Inverse of `text_of`; None for anything else."""
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    if not all(name.strip() and sign for name, sign, _ in parts):
        return None
    return tuple(sorted((name.strip(), value.strip()) for name, _, value in parts))
