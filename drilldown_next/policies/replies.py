"""What policies read from replies, and the requests that they send."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from openenv_kit.rollouts.policies import Action, ObservationJson

SegmentValues = dict[str, str]
"""Values of a segment by the names of their dimensions."""
Request = Generator[Action, ObservationJson, Any]


@dataclass(frozen=True)
class EpisodeDescription:
    """What the reset says about an episode.

    Attributes:
        config: the description that the reset returns.
        alert: text of the alert.
    """

    config: Mapping[str, Any]
    alert: str

    @classmethod
    def from_observation(cls, observation: ObservationJson) -> EpisodeDescription:
        """Read the description from the observation of a reset."""
        return cls(observation["config"], observation["message"])

    @property
    def dates(self) -> list[str]:
        """ISO dates of all days."""
        return list_dates(self.config["first_date"], self.config["last_date"])

    @property
    def given(self) -> Mapping[str, Any]:
        """Fields of a report row that the alert gives."""
        given: Mapping[str, Any] = self.config.get("given", {})
        return given

    @property
    def steps(self) -> list[str]:
        """Names of the steps, the step of the alert first."""
        stages = self.config["stages"]
        names = list(stages[1:])
        return sorted(names, key=lambda name: not self._is_step_of_alert(stages, name))

    @property
    def max_roots(self) -> int:
        """Largest number of roots."""
        return int(self.config["roots"].split()[-1])

    def list_calendar_removals(self, step: str) -> list[dict[str, Any]]:
        """Return the calendar entries of a step, as entries of `without`."""
        return [
            {"segment": entry["segment"], "dates": [entry["date_from"], entry["date_to"]]}
            for entry in self.config.get("calendar", ())
            if entry["step"] == step
        ]

    def read_week(self) -> str:
        """Return the first date of the week that the alert names.

        Raises:
            ValueError: the alert names no week.
        """
        for date in self.dates[::7]:
            day = dt.date.fromisoformat(date)
            if f"in the week of {day.day} {day:%B}." in self.alert:
                return date
        raise ValueError("the alert names no week")

    def _is_step_of_alert(self, stages: Sequence[str], name: str) -> bool:
        before = stages[stages.index(name) - 1].replace("_", " ")
        return f"from {before} to {name.replace('_', ' ')} " in self.alert


class LogLine(NamedTuple):
    """One entry of the change log."""

    id: str
    date: str
    component: str
    scope: SegmentValues


def list_dates(first: str, last: str) -> list[str]:
    """Return all ISO dates of a range."""
    start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    return [(start + dt.timedelta(days=day)).isoformat() for day in range((end - start).days + 1)]


def list_single_values(dimensions: Mapping[str, Sequence[str]]) -> list[SegmentValues]:
    """Return the segments of one value, in the order of the dimensions."""
    return [{name: value} for name, values in dimensions.items() for value in values]


def request(tool: str, **arguments: Any) -> Request:
    """Call a tool and return its result."""
    observation = yield {"tool": tool, "arguments": arguments}
    return observation["result"]


def submit(rows: Sequence[Mapping[str, Any]]) -> Action:
    """Return the action that submits a report."""
    return {"tool": "submit_report", "arguments": {"rows": [dict(row) for row in rows]}}


def parse_segment(text: str) -> SegmentValues:
    """Parse a segment such as `country=India, platform=iPhone`; `everybody` gives no values."""
    if text == "everybody":
        return {}
    return dict(part.split("=", 1) for part in text.split(", "))


def parse_log(result: Mapping[str, Any]) -> list[LogLine]:
    """Parse the result of `change_log`."""
    lines = (dict(zip(result["columns"], row, strict=True)) for row in result["rows"])
    return [
        LogLine(line["id"], line["date"], line["component"], parse_segment(line["scope"]))
        for line in lines
    ]


def find_change(
    log: Sequence[LogLine], component: str, segment: SegmentValues, dates_before: Sequence[str]
) -> str:
    """Return the entry that explains a root, or `unattributed`.

    Args:
        log: entries in the order of the log.
        component: component of the root's step.
        segment: segment of the root.
        dates_before: the first date of the root and the two dates before it.
    """
    best: LogLine | None = None
    for line in log:
        fits = line.component == component and line.date in dates_before
        if not fits or not line.scope.items() <= segment.items():
            continue
        if best is None or (len(line.scope), line.date) > (len(best.scope), best.date):
            best = line
    return "unattributed" if best is None else best.id
