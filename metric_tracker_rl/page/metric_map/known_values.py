"""What a player's replies have told of a funnel episode: all that is drawn of it before its end.

It is read from the opening's configuration and from replies, of either profile and disclosure, and
from nothing else: two episodes that answer alike are drawn alike. A fact is known by its fields,
not by the tool that told it, so that a new tool needs no line here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date as Date
from datetime import timedelta
from typing import Any

from metric_tracker_rl.engine.configuration.episode_config import FUNNELS
from metric_tracker_rl.engine.configuration.play_rules import THRESHOLD_NAMES
from metric_tracker_rl.engine.definitions.funnel import HOURS, Funnel
from metric_tracker_rl.engine.definitions.names import (
    CONVERSION_RATE,
    EVENT_COUNT,
    HOURLY_MIX,
    RAW,
    SAME_WEEKDAY,
    WEEKDAYS,
)
from metric_tracker_rl.engine.episode.episode import Episode
from metric_tracker_rl.engine.reporting_policy.daily_series import RATE_DECIMALS, WEEK

Place = tuple[int, int]
"""Day and column, as in `DailySeries`."""


class Seen:
    """What is known of an episode's daily series.

    Args:
        config: the configuration that the opening told.

    Attributes:
        funnel: names.
        dates: ISO dates, in order.
        thresholds: reporting threshold of each column up to the share; None in raw play, where
            nothing is judged before the end.
        values: displayed values that were told, or follow from counts that were.
        latest: what the last reply told.
        hours: counts of all stages by day and hour.
        suspicion: largest deviation of a day as a multiple of its threshold, where it was told.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.funnel: Funnel = FUNNELS[config["funnel"]]
        first = Date.fromisoformat(config["start_date"])
        self.dates = [(first + timedelta(days=day)).isoformat() for day in range(config["days"])]
        self.thresholds = None if config.get("disclosure") == RAW else _limits(config, self.funnel)
        self.values: dict[Place, float] = {}
        self.latest: set[Place] = set()
        self.hours: dict[Place, Sequence[int]] = {}
        self.suspicion: dict[int, float] = {}
        self._usual: dict[Place, float] = {}
        self._changes: dict[Place, float] = {}
        self._day_of = {date: day for day, date in enumerate(self.dates)}
        self._by_weekday = config.get("baseline") == SAME_WEEKDAY
        self._names = {name: column for (_, name), column in self.funnel.columns.items()}

    @classmethod
    def everything(cls, episode: Episode, config: Mapping[str, Any]) -> Seen:
        """All that there is to see, for after the end."""
        seen = cls(config)
        seen.thresholds = episode.series.thresholds.tolist()
        for day, (row, usual) in enumerate(
            zip(episode.series.rows, episode.series.baseline_rows, strict=True)
        ):
            for column, value in enumerate(row):
                seen.values[day, column] = value
                seen._know_usual(day, column, usual[column])
            seen.hours |= {(day, at): each for at, each in enumerate(episode.hours(day).tolist())}
        return seen

    @property
    def share(self) -> int:
        """Column of the daytime share; those of impossible counts follow."""
        return len(self.funnel.metrics)

    def day(self, date: object) -> int | None:
        """Place of a date; None for what is no date of the episode."""
        return self._day_of.get(date) if isinstance(date, str) else None

    def usual(self, day: int, column: int) -> float | None:
        """The median that a value is held against, where it was told; 0 for impossible counts."""
        if column > self.share:
            return 0.0
        return self._usual.get((day % WEEK if self._by_weekday else 0, column))

    def change(self, day: int, column: int) -> float | None:
        """Deviation from the median: relative; absolute for the share; impossible events."""
        value, usual = self.values.get((day, column)), self.usual(day, column)
        if value is None or usual is None:
            return self._changes.get((day, column))
        return value - usual if column >= self.share else (value - usual) / (usual or 1.0)

    def multiple(self, day: int, column: int) -> float | None:
        """Deviation as a multiple of the threshold; None where it or the threshold is unknown."""
        change = self.change(day, column)
        if change is None or self.thresholds is None or column > self.share:
            return None
        return change / self.thresholds[column]

    def read(self, answered: Mapping[str, Any]) -> None:
        """Learn from a tool's answer: its `arguments` and its `result`.

        An answer to rows that a player wrote holds those rows, which tell nothing of the data.
        """
        self.latest = set()
        if "rows" in answered["arguments"]:
            return
        for fact in facts(answered["result"]):
            self._note(fact)
        for day in {day for day, _ in self.latest}:
            self._complete(day)

    def _note(self, fact: Mapping[str, Any]) -> None:
        day = self.day(fact.get("date"))
        column = self._column(fact)
        usual = _number(fact, "baseline_value", "median_value", "median")
        if column is not None:
            if any(name in fact for name in WEEKDAYS):
                self._note_weekdays(column, fact)
            elif usual is not None and (day is not None or not self._by_weekday):
                self._know_usual(day or 0, column, usual)
        if day is None:
            return
        if column is not None:
            self._know(day, column, _number(fact, "observed_value", "value"))
            change = _number(fact, "change")
            if change is not None:
                self._changes[day, column] = change
                self.latest.add((day, column))
        if (score := _number(fact, "suspicion_score")) is not None:
            self.suspicion[day] = score
        if "issue_count" in fact and column is None:  # of the day; its issues are told one by one
            for pair in range(len(self.funnel.quality_checks)):
                self._know(day, self.share + 1 + pair, 0.0)
        self._know(day, self.share, _number(fact, "daytime_share"))
        if (usual := _number(fact, "baseline_daytime_share")) is not None:
            self._know_usual(day, self.share, usual)
        self._note_row(day, fact)

    def _note_row(self, day: int, fact: Mapping[str, Any]) -> None:
        """A line of counts or rates, of a day or of one of its hours."""
        counts = [fact.get(name) for name in self.funnel.counts]
        hour = fact.get("hour")
        if isinstance(hour, int) and all(isinstance(each, int) for each in counts):
            self.hours[day, hour] = [int(each or 0) for each in counts]
            self.latest.update((day, stage) for stage in range(len(counts)))
        elif hour is None:
            for column, name in enumerate((*self.funnel.metrics, self.funnel.mix)):
                self._know(day, column, _number(fact, name))

    def _note_weekdays(self, column: int, fact: Mapping[str, Any]) -> None:
        first = Date.fromisoformat(self.dates[0]).weekday()
        for day in range(WEEK):
            usual = _number(fact, WEEKDAYS[(first + day) % WEEK])
            if usual is not None:
                self._know_usual(day, column, usual)

    def _column(self, fact: Mapping[str, Any]) -> int | None:
        """Column of what a fact is about, if it names one series."""
        kind, name = fact.get("entity_type"), fact.get("entity_name")
        if isinstance(kind, str) and isinstance(name, str):
            return self.funnel.columns.get((kind, name))
        names = (fact.get(each) for each in ("entity_name", "metric_name", "series", "name"))
        return next((self._names[name] for name in names if name in self._names), None)

    def _know(self, day: int, column: int, value: float | None) -> None:
        if value is not None:
            self.values[day, column] = value
            self.latest.add((day, column))

    def _know_usual(self, day: int, column: int, usual: float) -> None:
        self._usual[day % WEEK if self._by_weekday else 0, column] = usual

    def _complete(self, day: int) -> None:
        """What follows from the counts that were told: sums of hours, and rates."""
        funnel = self.funnel
        hours = [self.hours[day, at] for at in range(HOURS) if (day, at) in self.hours]
        if len(hours) == HOURS:
            for stage, counts in enumerate(zip(*hours, strict=True)):
                self.values.setdefault((day, stage), float(sum(counts)))
            # In raw play nobody looks for what cannot be, but the player.
            for pair in range(len(funnel.quality_checks) if self.thresholds else 0):
                excess = sum(max(row[pair + 1] - row[pair], 0) for row in hours)
                self.values[day, self.share + 1 + pair] = float(excess)
        for place, (above, below) in enumerate(funnel.rate_stages, start=len(funnel.counts)):
            into, out_of = (self.values.get((day, stage)) for stage in (above, below))
            if into is not None and out_of is not None:
                rate = round(100.0 * into / (out_of or 1.0), RATE_DECIMALS)
                self.values.setdefault((day, place), rate)


def facts(node: Mapping[str, Any], above: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """Each mapping of a result, with the plain fields of everything around it.

    The lean profile's tables name their columns once; their rows are read as mappings.
    """
    here = {**(above or {}), **{k: v for k, v in node.items() if not _nested(v)}}
    yield here
    columns = node.get("columns")
    if isinstance(columns, list | tuple):
        for row in node["rows"]:
            yield from facts(dict(_named(columns, row)), here)
        return
    for value in node.values():
        if not _nested(value):
            continue
        for each in [value] if isinstance(value, Mapping) else value:
            if isinstance(each, Mapping):
                yield from facts(each, here)


def _named(columns: Sequence[Any], row: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Fields of a row; a column that is a list names the fields of what the cell holds."""
    for name, value in zip(columns, row, strict=True):
        if isinstance(name, str):
            yield name, value
        elif value and _nested(value[0]):
            yield "rows", [dict(_named(name, each)) for each in value]
        else:
            yield from zip(name, value, strict=True)


def _nested(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _number(fact: Mapping[str, Any], *names: str) -> float | None:
    """The first of some fields that holds a number."""
    numbers: Iterable[Any] = (fact.get(name) for name in names)
    return next(
        (float(n) for n in numbers if isinstance(n, int | float) and not isinstance(n, bool)), None
    )


def _limits(config: Mapping[str, Any], funnel: Funnel) -> list[float]:
    """Reporting threshold of each column up to the share, as the opening told them."""
    thresholds = config["thresholds"]
    counts, rates = len(funnel.counts), len(funnel.rates)
    kinds = [EVENT_COUNT] * counts + [CONVERSION_RATE] * rates + [HOURLY_MIX]
    return [thresholds[THRESHOLD_NAMES[kind]] for kind in kinds]
