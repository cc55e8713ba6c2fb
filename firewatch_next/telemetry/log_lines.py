"""The lines that services write: ordinary ones, consequences, and events of the world.

A line's time, pod and ids depend on the task, its event and its tick only, so overlapping searches
show the same lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from firewatch_next.simulation.log_event import LogLevel, LogRecord, choose_phrasing
from firewatch_next.simulation.rows import Column
from firewatch_next.simulation.service import SECONDS_PER_TICK, Service
from firewatch_next.stacks import STACKS
from firewatch_next.stacks.stack import FieldValue, LogLine, OrdinaryLine, format_milliseconds
from firewatch_next.telemetry.consequences import KUBELET, KUBELET_EVENTS, list_consequences
from firewatch_next.telemetry.view import TelemetryView

T = TypeVar("T")
LINES_PER_SOURCE = 3
"""Largest number of lines of one event and tick that are written out."""
LEVEL_ORDER = list(LogLevel)
_MAX_LINE_CHARACTERS = 260
_MAX_TICKS = 400  # from the first tick of a history on
_WORDS_PER_LINE = 6
_FLOAT_STEP = 1.0 / (1 << 53)
_PATHS = ("/v1/{0}", "/v1/{0}/search", "/v2/{0}/items", "/v1/{0}/status")


class LogEntry(NamedTuple):
    """A formatted line with its time in ticks, by which it is sorted."""

    time: float
    level: LogLevel
    text: str


@dataclass(frozen=True)
class LineSource:
    """Lines of one event, or of one kind of ordinary line, in one tick.

    Attributes:
        count: number of lines. template: their message.
        event: name of the event, or "" for an ordinary line.
        version, pod: the only ones that wrote it, or "".
    """

    tick: int
    level: LogLevel
    count: float
    template: str
    event: str
    fields: Mapping[str, FieldValue]
    version: str = ""
    pod: str = ""

    @property
    def key(self) -> str:
        """Text that is the same in every tick for lines that differ in figures and ids only."""
        callee, status = self.fields.get("callee", ""), self.fields.get("status", "")
        return f"{self.template}/{callee}/{status}/{self.version}/{self.pod}"


class ServiceLog:
    """The log of one service, from a tick on.

    Args:
        view: of the episode.
        service: not a third party.
        first_tick: first tick that is read.
    """

    def __init__(self, view: TelemetryView, service: Service, first_tick: int) -> None:
        self._view = view
        self._service = service
        self._stack = STACKS[service.stack]
        self._templates: dict[str, str] = {}
        self._words: dict[str, NDArray[np.uint64]] = {}
        self._callees = [client.callee for client in service.clients] or [service.name]
        self._paths = [path.format(service.name.split("-")[0]) for path in _PATHS]
        events = list(view.world.history.pod_events(service.name, first_tick, view.tick))
        self._removed_pods = [
            (event.tick, event.pod) for event in events if event.kind == "stopped"
        ]
        self._pod_starts = {event.pod: event.tick for event in events if event.kind == "started"}

    def list_sources(self, tick: int) -> Iterator[LineSource]:
        """Yield what the service wrote in a tick: ordinary lines, then those of events."""
        yield from self._list_ordinary(tick)
        records = list_consequences(self._view, self._service, tick)
        records += self._view.world.history.log_records(self._service.name, tick, tick)
        for record in records:
            yield LineSource(
                tick, record.event.level, record.count, self._choose_template(record),
                record.event.name, record.fields, record.version, record.pod,
            )  # fmt: skip

    def _choose_template(self, record: LogRecord) -> str:
        name = record.event.name
        if name not in self._templates:
            draws = self._view.draws("phrasing", self._service.name, name)
            self._templates[name] = choose_phrasing(
                draws, self._service.stack, record.event, self._view.wording
            )
        return self._templates[name]

    def _list_ordinary(self, tick: int) -> Iterator[LineSource]:
        values = self._view.world.history.service_values(self._service.name, tick)
        requests = values[Column.LOAD] * SECONDS_PER_TICK
        fields = {"milliseconds": round(1000.0 * values[Column.MODES], 1)}
        for line in self._stack.ordinary:
            count = requests * line.per_request + self._count_rare(line, tick)
            if count >= 0.5:
                yield LineSource(tick, line.level, count, line.template, "", fields)

    def _count_rare(self, line: OrdinaryLine, tick: int) -> float:
        if line.per_tick in (0.0, 1.0):
            return line.per_tick
        word = self._read_words(f"rare/{line.template}", tick)[0][0]
        return 1.0 if _uniform(word) < line.per_tick else 0.0

    def format_lines(self, source: LineSource, most: int) -> Iterator[LogEntry]:
        """Yield up to `most` lines of a source, and at most `LINES_PER_SOURCE`."""
        words_of_lines = self._read_words(source.key, source.tick)
        count = max(1, min(most, LINES_PER_SOURCE, int(source.count + 0.5)))
        for words in words_of_lines[:count]:
            time = source.tick - 0.001 - 0.998 * _uniform(words[0])
            fields: dict[str, FieldValue] = {
                "path": _choose(self._paths, words[1]),
                "callee": _choose(self._callees, words[2]),
                "count": 10 + ((words[3] * 900) >> 64),
                **source.fields,
            }
            pod = source.pod or self._choose_pod(source.version, source.tick, words[4])
            message = source.template.format_map(fields)
            line = LogLine(
                self._view.time_of(time), source.level, self._service.name, pod, message,
                source.event, _visible_fields(source, fields), words[5] >> 32,
            )  # fmt: skip
            yield LogEntry(time, source.level, self._format(line)[:_MAX_LINE_CHARACTERS])

    def _read_words(self, key: str, tick: int) -> list[list[int]]:
        """Return random words for the lines of a source in a tick."""
        words = self._words.get(key)
        if words is None:
            draws = self._view.draws("lines", self._service.name, key)
            words = draws.read_raw_words(_MAX_TICKS * LINES_PER_SOURCE * _WORDS_PER_LINE)
            words = words.reshape(_MAX_TICKS, LINES_PER_SOURCE, _WORDS_PER_LINE)
            self._words[key] = words
        found: list[list[int]] = words[tick - self._view.world.history.first_tick].tolist()
        return found

    def _choose_pod(self, version: str, tick: int, word: int) -> str:
        """Return a pod that ran at a tick, of that version if a present pod has it."""
        past = [name for removed, name in self._removed_pods if removed > tick]
        present = [pod.name for pod in self._service.pods if version in ("", pod.version)]
        names = sorted(present or past if version else past + present)
        ran = [name for name in names if self._pod_starts.get(name, tick) <= tick]
        return _choose(ran or names or ["-"], word)

    def _format(self, line: LogLine) -> str:
        if line.event in KUBELET_EVENTS:
            time = f"{line.time:%Y-%m-%dT%H:%M:%S}.{format_milliseconds(line.time)}Z"
            return f"{KUBELET} | {time} {line.level} {line.message}"
        return f"{line.pod} | {self._stack.format_line(line)}"


def has_log(service: Service) -> bool:
    """Return whether the service's log can be read; a third party's cannot."""
    return service.stack in STACKS


def _uniform(word: int) -> float:
    return (word >> 11) * _FLOAT_STEP


def _choose(items: Sequence[T], word: int) -> T:
    return items[(word * len(items)) >> 64]


def _visible_fields(source: LineSource, fields: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """Return the fields that the stack's own format may use: those that belong to the line."""
    names = {name for name in fields if f"{{{name}}}" in source.template} | set(source.fields)
    if names & {"status", "callee", "timeout_ms"}:
        names.add("path")
    return {name: fields[name] for name in names}
