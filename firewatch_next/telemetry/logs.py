"""Log lines of services, and the search in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from firewatch_next.simulation.log_event import LogLevel, LogRecord, choose_phrasing
from firewatch_next.simulation.rows import Column
from firewatch_next.simulation.service import SECONDS_PER_TICK, Pod, Service
from firewatch_next.stacks import STACKS
from firewatch_next.stacks.stack import FieldValue, LogLine, OrdinaryLine, format_milliseconds
from firewatch_next.telemetry.consequences import KUBELET, KUBELET_EVENTS, list_consequences
from firewatch_next.telemetry.limits import build_reply, format_figure
from firewatch_next.telemetry.view import TICKS_PER_MINUTE, TelemetryView
from openenv_kit.bitstream import BitStream

MAX_LINES = 40
_LEVEL_ORDER = list(LogLevel)
_LINES_PER_RECORD = 3  # of one event and tick; the counts include all others
_MAX_BUCKETS = 10
_MAX_LINE_CHARACTERS = 260


class LogEntry(NamedTuple):
    """A formatted line with its time in ticks, for sorting."""

    time: float
    level: LogLevel
    text: str


@dataclass
class _Source:
    """Lines of one event or of one kind of ordinary line in one tick."""

    tick: int
    level: LogLevel
    count: float
    template: str
    event: str
    fields: Mapping[str, FieldValue]
    version: str = ""
    pod: str = ""


@dataclass
class LogSearch:
    """Result of a search.

    Attributes:
        entries: newest last. counts: number of matching lines by level, also of those not shown.
        by_tick, by_version: the same by tick, and by version where an event is one version's.
    """

    entries: list[LogEntry] = field(default_factory=list)
    counts: dict[LogLevel, float] = field(default_factory=dict)
    by_tick: dict[int, float] = field(default_factory=dict)
    by_version: dict[str, float] = field(default_factory=dict)

    def add_count(self, source: _Source, count: float) -> None:
        """Count lines of a source."""
        self.counts[source.level] = self.counts.get(source.level, 0.0) + count
        self.by_tick[source.tick] = self.by_tick.get(source.tick, 0.0) + count
        if source.version:
            self.by_version[source.version] = self.by_version.get(source.version, 0.0) + count


def search_logs(
    view: TelemetryView,
    services: Sequence[str],
    query: str,
    level: LogLevel | None,
    window_minutes: int,
    limit: int,
) -> str:
    """Return the reply to a log search: counts first, then the newest matching lines.

    Args:
        view: of the episode.
        services: names.
        query: text that a line contains, in any case; "" matches all.
        level: least severe level that is shown, or None for all.
        window_minutes: length of the window, which ends now.
        limit: largest number of lines.
    """
    first = view.first_tick_of(window_minutes) + 1
    result = find_lines(view, services, query, level, first, limit)
    subject = services[0] if len(services) == 1 else f"{len(services)} services"
    total = sum(result.counts.values())
    if total < 0.5:
        scope = f" with {query!r}" if query else ""
        text = f"{subject} 0 lines{scope} in {window_minutes} min"
        return build_reply(text, (), view.max_characters)
    counts = " ".join(
        f"{level} {result.counts[level]:.0f}"
        for level in reversed(_LEVEL_ORDER)
        if result.counts.get(level, 0.0) >= 0.5
    )
    newest = view.time_of(result.entries[-1].time)
    headline = (
        f"{subject} {total:.0f} lines in {window_minutes} min: {counts}; newest {newest:%H:%M:%S}"
    )
    lines = [_format_counts(result, first, view.tick)]
    if result.by_version:
        parts = (f"{name} {count:.0f}" for name, count in sorted(result.by_version.items()))
        lines.append(f"lines by version: {', '.join(parts)}")
    shown = [entry.text for entry in result.entries]
    if total > len(shown) + 0.5:
        lines.append(f"newest {len(shown)} lines (at most {_LINES_PER_RECORD} alike in 30 s):")
    head = "\n".join(lines)
    room = view.max_characters - len(head) - 1
    reply = build_reply(headline, shown, room, keeps_end=True, hint="lower limit or add a query")
    first_line, _, rest = reply.partition("\n")
    return f"{first_line}\n{head}\n{rest}" if rest else f"{first_line}\n{head}"


def fetch_newest_lines(view: TelemetryView, service: str, limit: int) -> list[str]:
    """Return lines of the last ten minutes, with warnings and errors preferred and last."""
    first = view.first_tick_of(10) + 1
    severe = find_lines(view, [service], "", LogLevel.WARN, first, limit).entries
    others = find_lines(view, [service], "", None, first, limit).entries
    mild = [e for e in others if e.level in (LogLevel.DEBUG, LogLevel.INFO)]
    chosen = mild[len(mild) - max(0, limit - len(severe)) :] if len(severe) < limit else []
    return [entry.text for entry in (*chosen, *severe)]


def find_lines(
    view: TelemetryView,
    services: Sequence[str],
    query: str,
    level: LogLevel | None,
    first_tick: int,
    limit: int,
) -> LogSearch:
    """Return the newest matching lines, and the counts of all since a tick."""
    result = LogSearch()
    wanted = query.lower()
    least = _LEVEL_ORDER.index(level) if level is not None else 0
    sources = _SourceReader(view)
    for tick in range(view.tick, first_tick - 1, -1):
        is_full = len(result.entries) >= limit
        for name in services:
            service = view.service(name)
            for source in sources.read(service, tick):
                if _LEVEL_ORDER.index(source.level) < least:
                    continue
                if is_full and not wanted:
                    result.add_count(source, source.count)
                    continue
                # A line's text varies in ids only, so one decides for those that are only counted.
                number = 1 if is_full else _LINES_PER_RECORD
                entries = list(_format_lines(view, service, source, number))
                matching = [entry for entry in entries if wanted in entry.text.lower()]
                if entries and matching:
                    result.add_count(source, source.count * len(matching) / len(entries))
                    if not is_full:
                        result.entries += matching
    result.entries = sorted(result.entries)[-limit:]
    return result


class _SourceReader:
    """Lists what a service wrote in a tick. The phrasing of each event is chosen once."""

    def __init__(self, view: TelemetryView) -> None:
        self._view = view
        self._templates: dict[tuple[str, str], str] = {}

    def read(self, service: Service, tick: int) -> Iterator[_Source]:
        """Yield the ordinary lines, then those of consequences and of the world's events."""
        if service.stack not in STACKS:  # a third party's logs cannot be read
            return
        yield from _ordinary_sources(self._view, service, tick)
        records = list_consequences(self._view, service, tick)
        records += self._view.world.history.log_records(service.name, tick, tick)
        for record in records:
            yield _Source(
                tick, record.event.level, record.count, self._template(service, record),
                record.event.name, record.fields, record.version, record.pod,
            )  # fmt: skip

    def _template(self, service: Service, record: LogRecord) -> str:
        key = (service.name, record.event.name)
        if key not in self._templates:
            draws = self._view.draws("phrasing", *key)
            self._templates[key] = choose_phrasing(
                draws, service.stack, record.event, self._view.wording
            )
        return self._templates[key]


def _ordinary_sources(view: TelemetryView, service: Service, tick: int) -> Iterator[_Source]:
    values = view.world.history.service_values(service.name, tick)
    requests = values[Column.LOAD] * SECONDS_PER_TICK
    for number, line in enumerate(STACKS[service.stack].ordinary):
        count = requests * line.per_request + _rare_count(view, service, line, number, tick)
        if count >= 0.5:
            fields = {"milliseconds": round(1000.0 * values[Column.MODES], 1)}
            yield _Source(tick, line.level, count, line.template, "", fields)


def _rare_count(
    view: TelemetryView, service: Service, line: OrdinaryLine, number: int, tick: int
) -> float:
    if line.per_tick in (0.0, 1.0):
        return line.per_tick
    draws = view.draws("ordinary", service.name, number, tick)
    return 1.0 if draws.uniform() < line.per_tick else 0.0


def _format_lines(
    view: TelemetryView, service: Service, source: _Source, most: int
) -> Iterator[LogEntry]:
    """Yield up to `most` lines of a source. Line k is the same however many are asked for."""
    values = ",".join(str(value) for value in source.fields.values())
    draws = view.draws("lines", service.name, source.template, values, source.tick)
    for _ in range(max(1, min(most, int(source.count + 0.5)))):
        number = draws.integer_below(2**32)
        time = source.tick - draws.uniform(0.001, 0.999)
        fields = {**_request_fields(service, draws), **source.fields}
        message = source.template.format_map(fields)
        pod = source.pod or _choose_pod(service, source.version, draws)
        line = LogLine(
            view.time_of(time), source.level, service.name, pod, message, source.event,
            _visible_fields(source, fields), number,
        )  # fmt: skip
        text = _format_text(service, line)
        yield LogEntry(time, source.level, text[:_MAX_LINE_CHARACTERS])


def _format_text(service: Service, line: LogLine) -> str:
    if line.event in KUBELET_EVENTS:
        time = f"{line.time:%Y-%m-%dT%H:%M:%S}.{format_milliseconds(line.time)}Z"
        return f"{KUBELET} | {time} {line.level} {line.message}"
    return f"{line.pod} | {STACKS[service.stack].format_line(line)}"


def _request_fields(service: Service, draws: BitStream) -> dict[str, FieldValue]:
    noun = service.name.split("-")[0]
    path = draws.choose(("/v1/{0}", "/v1/{0}/search", "/v2/{0}/items", "/v1/{0}/status"))
    callees = [client.callee for client in service.clients] or [service.name]
    return {
        "path": path.format(noun),
        "callee": draws.choose(callees),
        "count": 10 + draws.integer_below(900),
    }


def _visible_fields(source: _Source, fields: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """Return the fields that the stack's own format may use: those that belong to the line."""
    names = {name for name in fields if f"{{{name}}}" in source.template} | set(source.fields)
    if names & {"status", "callee", "path", "timeout_ms"}:
        names.add("path")
    return {name: fields[name] for name in names}


def _choose_pod(service: Service, version: str, draws: BitStream) -> str:
    pods: list[Pod] = [pod for pod in service.pods if version in ("", pod.version)]
    return draws.choose(pods or service.pods).name if service.pods else service.name


def _format_counts(result: LogSearch, first: int, last: int) -> str:
    width = max(1, -(-(last - first + 1) // _MAX_BUCKETS))
    buckets: list[float] = []
    end = last
    while end >= first:
        ticks = range(max(first, end - width + 1), end + 1)
        buckets.append(sum(result.by_tick.get(tick, 0.0) for tick in ticks))
        end -= width
    minutes = format_figure(width / TICKS_PER_MINUTE)
    numbers = " ".join(f"{bucket:.0f}" for bucket in reversed(buckets))
    return f"lines per {minutes} min: {numbers}"
