"""Parsed tool replies, and the numeric tests on them that a fault type declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from openenv_kit.tool import ToolCall


@dataclass(frozen=True)
class ParsedSeries:
    """One series of a `query_metrics` reply.

    Attributes:
        metric: name of the metric. labels: such as {"callee": "ledger-db"}.
        values: oldest first. minutes: age of each value in minutes before now, decreasing.
    """

    metric: str
    labels: Mapping[str, str]
    values: tuple[float, ...]
    minutes: tuple[float, ...]


@dataclass(frozen=True)
class ParsedReply:
    """A tool reply as numbers and names, without its prose.

    Attributes:
        series: of `query_metrics`.
        rows: of `run_diagnostic`, `list_changes`, `show_service_map` and `find_traces`; one mapping
            per line, by field.
    """

    series: tuple[ParsedSeries, ...] = ()
    rows: tuple[Mapping[str, str | float], ...] = ()

    def find_series(self, metric: str, **labels: str) -> list[ParsedSeries]:
        """Return the series of a metric that have at least these labels."""
        return [
            series
            for series in self.series
            if series.metric == metric and labels.items() <= series.labels.items()
        ]


@dataclass(frozen=True)
class Question:
    """A tool call that only reads."""

    call: ToolCall


@dataclass(frozen=True)
class Suspect:
    """The service that the reference examines, with what it knows of it.

    Attributes:
        service: the deepest service with failures of its own, or the one being tested.
        callers, callees: of the service.
        callee: the callee with the largest excess of failures or delay seen by it, or "".
        onset_minutes: minutes before now at which its failures began.
        changes: rows of `list_changes` of the service, its callers and callees, newest first.
        caches: in front of the service or of one of its callees. entries: where customers' requests
            arrive that reach it.
    """

    service: str
    callers: tuple[str, ...]
    callees: tuple[str, ...]
    callee: str
    onset_minutes: float
    changes: tuple[Mapping[str, str | float], ...]
    caches: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """A hypothesis that fits.

    Attributes:
        strength: how far its numbers exceed the noise; the strongest verdict is acted on.
        calls: repairs in order. The reference waits for the effect of each.
    """

    strength: float
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True)
class Hypothesis:
    """A numeric test of one fault type on parsed replies. The reference policy runs all of them.

    Attributes:
        questions: the replies that the test needs.
        judge: returns a verdict, or None if the numbers do not fit. The replies are in the order
            of the questions.
    """

    questions: Callable[[Suspect], tuple[Question, ...]]
    judge: Callable[[Suspect, tuple[ParsedReply, ...]], Verdict | None]
