"""Search in the log lines of services, as Loki answers it: counts and the newest lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from firewatch_next.simulation.log_event import LogLevel
from firewatch_next.telemetry.limits import build_reply, format_figure
from firewatch_next.telemetry.log_lines import (
    LEVEL_ORDER,
    LINES_PER_SOURCE,
    LineSource,
    LogEntry,
    ServiceLog,
    has_log,
)
from firewatch_next.telemetry.view import TICKS_PER_MINUTE, TelemetryView
from openenv_kit.float_sum import sum_left_to_right

MAX_LINES = 40
_MAX_BUCKETS = 10
_ENOUGH_LINES = 24


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

    def add_count(self, source: LineSource, count: float) -> None:
        """Count lines of a source."""
        self.counts[source.level] = self.counts.get(source.level, 0.0) + count
        self.by_tick[source.tick] = self.by_tick.get(source.tick, 0.0) + count
        if source.version:
            self.by_version[source.version] = self.by_version.get(source.version, 0.0) + count


@dataclass
class _Matches:
    """How many of the lines of a source that were formatted contain the query.

    Lines of a source differ between ticks in figures and ids only, so the others are not formatted.
    """

    seen: int = 0
    matching: int = 0

    def is_hopeless(self, query: str) -> bool:
        """Return whether further lines need no look. A time of the day can be in older lines."""
        return not self.matching and self.seen >= _ENOUGH_LINES and ":" not in query


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
    total = sum_left_to_right(result.counts.values())
    if not result.entries:
        scope = f" with {query!r}" if query else ""
        text = f"{subject} 0 lines in {window_minutes} min{scope}"
        if not any(has_log(view.service(name)) for name in services):
            text = f"{subject} has no log here, it runs outside the system"
        return build_reply(text, (), view.max_characters)
    counts = " ".join(
        f"{level} {result.counts[level]:.0f}"
        for level in reversed(LEVEL_ORDER)
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
    if total > len(result.entries) + 0.5:
        lines.append(f"the newest, at most {LINES_PER_SOURCE} alike in 30 s:")
    head = "\n".join(lines)
    shown = [entry.text for entry in result.entries]
    room = view.max_characters - len(head) - 1
    reply = build_reply(headline, shown, room, keeps_end=True, hint="lower limit or add a query")
    first_line, _, rest = reply.partition("\n")
    return f"{first_line}\n{head}\n{rest}"


def fetch_newest_lines(view: TelemetryView, service: str, limit: int) -> list[str]:
    """Return lines of the last ten minutes, with warnings and errors preferred and last."""
    first = view.first_tick_of(10) + 1
    severe = find_lines(view, [service], "", LogLevel.WARN, first, limit).entries
    others = find_lines(view, [service], "", None, first, limit).entries
    mild = [e for e in others if e.level in (LogLevel.DEBUG, LogLevel.INFO)]
    chosen = mild[max(0, len(mild) - limit + len(severe)) :]
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
    least = LEVEL_ORDER.index(level) if level is not None else 0
    found = (view.service(name) for name in services)
    logs = [ServiceLog(view, service, first_tick) for service in found if has_log(service)]
    matches: dict[tuple[int, str], _Matches] = {}
    for tick in range(view.tick, first_tick - 1, -1):
        is_full = len(result.entries) >= limit
        for number, log in enumerate(logs):
            for source in log.list_sources(tick):
                if LEVEL_ORDER.index(source.level) < least:
                    continue
                key = (number, source.key)
                known = matches.setdefault(key, _Matches())
                if not known.seen or not (is_full or known.is_hopeless(wanted)):
                    entries = list(log.format_lines(source, LINES_PER_SOURCE))
                    matching = [entry for entry in entries if wanted in entry.text.lower()]
                    known.seen += len(entries)
                    known.matching += len(matching)
                    result.entries += [] if is_full else matching
                if known.matching:
                    result.add_count(source, source.count * known.matching / known.seen)
    result.entries = sorted(result.entries)[-limit:]
    return result


def _format_counts(result: LogSearch, first: int, last: int) -> str:
    width = max(1, -(-(last - first + 1) // _MAX_BUCKETS))
    buckets: list[float] = []
    end = last
    while end >= first:
        ticks = range(max(first, end - width + 1), end + 1)
        buckets.append(sum_left_to_right(result.by_tick.get(tick, 0.0) for tick in ticks))
        end -= width
    minutes = format_figure(width / TICKS_PER_MINUTE)
    numbers = " ".join(f"{bucket:.0f}" for bucket in reversed(buckets))
    return f"lines per {minutes} min: {numbers}"
