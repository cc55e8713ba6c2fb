"""Metric series as a Prometheus range query shows them, with markers of changes."""

from __future__ import annotations

from collections.abc import Sequence

from firewatch_next.simulation.metrics import METRICS, Label
from firewatch_next.simulation.series import Series
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.telemetry.changes import list_visible_changes
from firewatch_next.telemetry.limits import build_reply, format_figure, join_figures
from firewatch_next.telemetry.view import TelemetryView

MAX_METRICS = 4
MAX_POINTS = 24
ALL_SERVICES = "*"
_SUMMED = frozenset({"pods_killed"})  # counted in a tick: a point is the sum since the one before
# Of a third party, callers measure these; nothing inside it can be read.
_SEEN_FROM_OUTSIDE = frozenset(
    {"request_rate", "error_ratio", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms"}
)
_MAX_MARKERS = 8


def query_metrics(
    view: TelemetryView,
    services: Sequence[str],
    metrics: Sequence[str],
    label: Label | None,
    window_minutes: int,
    points: int,
) -> str:
    """Return the reply to a metric query: one series per label set, largest first.

    A point is the reading at its time, not a mean, so it is the same in every window.

    Args:
        view: of the episode.
        services: one service, or all, which are then told apart by a label.
        metrics: names in `METRICS`.
        label: label to group by; a metric without it is not grouped.
        window_minutes: length of the window, which ends now.
        points: number of points of a series.
    """
    first = view.first_tick_of(window_minutes)
    ticks = _choose_ticks(first, view.tick, points)
    shows_service = len(services) > 1
    found: list[Series] = []
    for metric in metrics:
        series: list[Series] = []
        for service in services:
            series += _read(view, metric, service, label, first, ticks)
        found += sorted(series, key=lambda one: -_newest_value(one, view.tick))
    subject = f"{len(services)} services" if shows_service else services[0]
    start = f"{subject} {view.clock(view.tick)}"
    if not found:
        return build_reply(f"{start} no series: the service has no such data", (), 100)
    figures = [
        f"{_short_name(one, shows_service, len(metrics) > 1)} {_newest(one)}".strip()
        for one in found
        if one.ticks[-1] == view.tick
    ]
    minutes = (format_figure(view.minutes_since(tick)) for tick in ticks)
    lines = [f"minutes_ago {' '.join(minutes)}"]
    markers = _format_markers(view, services, first)
    if markers and not shows_service:
        lines.append(markers)
    lines += [_format_series(one, ticks, shows_service) for one in found]
    return build_reply(
        join_figures(start, figures),
        lines,
        view.max_characters,
        hint="name one service, fewer metrics or fewer points",
    )


def _choose_ticks(first: int, last: int, points: int) -> list[int]:
    """Return up to `points` ticks, evenly spaced, of which the last is `last`."""
    count = min(points, last - first + 1)
    span = last - first
    return [last - span * back // max(1, count - 1) for back in range(count - 1, -1, -1)]


def _read(
    view: TelemetryView,
    metric: str,
    service: str,
    label: Label | None,
    first: int,
    ticks: Sequence[int],
) -> list[Series]:
    if view.service(service).kind is ServiceKind.THIRD_PARTY and metric not in _SEEN_FROM_OUTSIDE:
        return []
    used_label = label if label in METRICS[metric].labels else None
    if metric not in _SUMMED:
        return [one for one in view.read(metric, service, used_label, ticks) if one.ticks]
    sums = []
    for one in view.read(metric, service, used_label, range(first, ticks[-1] + 1)):
        totals = [0.0] * len(ticks)
        for tick, value in zip(one.ticks, one.values, strict=True):
            totals[next(i for i, end in enumerate(ticks) if tick <= end)] += value
        sums.append(Series(metric, service, one.labels, tuple(ticks), tuple(totals)))
    return sums


def _labels_of(series: Series, shows_service: bool) -> dict[str, str]:
    labels = {name: value for name, value in series.labels.items() if value}
    return {"service": series.service, **labels} if shows_service else labels


def _short_name(series: Series, shows_service: bool, shows_metric: bool) -> str:
    values = ",".join(_labels_of(series, shows_service).values())
    if not shows_metric:
        return values or series.metric
    return f"{series.metric}{{{values}}}" if values else series.metric


def _newest_value(series: Series, last_tick: int) -> float:
    return series.values[-1] if series.ticks[-1] == last_tick else -1.0


def _newest(series: Series) -> str:
    return format_figure(series.values[-1], METRICS[series.metric].unit)


def _format_series(series: Series, ticks: Sequence[int], shows_service: bool) -> str:
    labels = ",".join(f'{k}="{v}"' for k, v in _labels_of(series, shows_service).items())
    name = f"{series.metric}{{{labels}}}" if labels else series.metric
    unit = METRICS[series.metric].unit
    values = dict(zip(series.ticks, series.values, strict=True))
    # A pod has no reading before it started, and a status code none while nothing had it.
    texts = (format_figure(values[tick], unit) if tick in values else "-" for tick in ticks)
    return f"{name} {' '.join(texts)}"


def _format_markers(view: TelemetryView, services: Sequence[str], first: int) -> str:
    changes = list_visible_changes(view, services, first)[-_MAX_MARKERS:]
    return " ".join(f"▲{view.clock(c.tick)} {c.kind} {c.id}" for c in changes)
