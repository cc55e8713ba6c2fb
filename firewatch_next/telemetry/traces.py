"""Traces of single requests as span trees, like Jaeger's.

A trace is drawn from the shares in the history at a tick: which call failed, and how. It goes from
an entry down to the service and from there to whatever failed or took longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from firewatch_next.simulation.metrics import Label
from firewatch_next.simulation.rows import Column, modes_of_row
from firewatch_next.simulation.service import Service
from firewatch_next.telemetry.consequences import CallFailures, failed_shares_by_code
from firewatch_next.telemetry.limits import build_reply, format_figure, format_ratio, join_figures
from firewatch_next.telemetry.view import TICKS_PER_MINUTE, TelemetryView
from openenv_kit.bitstream import BitStream
from openenv_kit.float_sum import sum_left_to_right

MAX_TRACES = 3
WINDOW_MINUTES = 2
_CANDIDATES = 60  # requests that are looked at for one that matches
_MIN_SHARE = 0.002  # failures rarer than this are in no sampled trace
_MAX_DEPTH = 8


class TraceStatus(StrEnum):
    """Outcome of the request at the service, by which traces are searched."""

    ANY = "any"
    OK = "ok"
    ERROR = "error"


@dataclass
class Span:
    """One operation of a trace.

    Attributes:
        milliseconds: its duration. status: such as "200" or "timeout".
        tags: text such as the pod and version.
        children: in order.
    """

    service: str
    operation: str
    milliseconds: float
    status: str
    tags: str = ""
    children: list[Span] = field(default_factory=list)

    @property
    def has_failed(self) -> bool:
        """Whether the status is not a success."""
        return self.status != "200"


def find_traces(
    view: TelemetryView, service: str, status: TraceStatus, min_milliseconds: float, limit: int
) -> str:
    """Return the reply with traces of the last two minutes that pass through a service.

    Args:
        view: of the episode.
        service: name.
        status: outcome at that service.
        min_milliseconds: shortest duration at that service.
        limit: number of traces, at most 3.
    """
    found: list[tuple[int, list[Service], Span]] = []
    for number in range(_CANDIDATES):
        if len(found) == limit:
            break
        tick = max(
            view.world.history.first_tick, view.tick - number % (WINDOW_MINUTES * TICKS_PER_MINUTE)
        )
        builder = _TraceBuilder(view, tick, view.draws("trace", service, tick, status, number))
        span = builder.build_span(view.service(service), status, 0)
        if span is None or span.milliseconds < min_milliseconds:
            continue
        path = builder.draw_path_to(service)
        found.append((tick, path, builder.wrap(path, span)))
    ratio = view.newest("error_ratio", service)
    p99 = view.newest("latency_p99_ms", service)
    figures = [
        f"{len(found)} traces with status {status}",
        f"error_ratio {format_ratio(ratio)}",
        f"p99 {format_figure(p99)} ms",
    ]
    headline = join_figures(f"{service} {view.clock(view.tick)}", figures)
    lines: list[str] = []
    for number, (tick, path, root) in enumerate(found):
        trace_id = f"{view.draws('trace_id', service, tick, number).integer_below(1 << 48):012x}"
        start = path[0].name if path else service
        lines.append(f"trace {trace_id} {view.time_of(tick):%H:%M:%S} from {start}")
        lines += _format_span(root, 0)
    if not found:
        lines.append(
            f"no sampled request of the last {WINDOW_MINUTES} min matches: "
            f"status {status}, at least {min_milliseconds:g} ms"
        )
    return build_reply(headline, lines, view.max_characters, hint="lower limit")


def _format_span(span: Span, depth: int) -> list[str]:
    indent = "  " * depth + ("└ " if depth else "")
    text = f"{indent}{span.service} {span.operation} {format_figure(span.milliseconds)} ms"
    lines = [f"{text} {span.status} {span.tags}".rstrip()]
    for child in span.children:
        lines += _format_span(child, depth + 1)
    return lines


class _TraceBuilder:
    """Draws one request at a tick."""

    def __init__(self, view: TelemetryView, tick: int, draws: BitStream) -> None:
        self._view = view
        self._tick = tick
        self._draws = draws

    def build_span(self, service: Service, status: TraceStatus, depth: int) -> Span | None:
        """Return the span of a request at a service and all below it.

        None if no request with that outcome is in the samples.
        """
        values = self._view.world.history.service_values(service.name, self._tick)
        by_code = failed_shares_by_code(self._view, service.name, self._tick)
        failed_share = sum_left_to_right(by_code.values())
        has_failed = status is TraceStatus.ERROR
        if has_failed and failed_share <= (0.0 if depth else _MIN_SHARE):
            return None
        if status is TraceStatus.ANY:
            has_failed = self._draws.uniform() < failed_share
        modes = modes_of_row(list(values), service.latency_step)
        position = _draw_index(self._draws, [mode.share for mode in modes])
        milliseconds = 1000.0 * modes[position].median * self._draws.uniform(0.9, 1.1)
        code = _draw_key(self._draws, by_code) if has_failed else 200
        span = Span(service.name, self._operation(service), milliseconds, str(code))
        span.tags = self._draw_tags(service, code)
        if depth < _MAX_DEPTH:
            self._add_calls(span, service, values[Column.LOAD], has_failed, depth)
        span.milliseconds = max(
            span.milliseconds, sum_left_to_right(c.milliseconds for c in span.children)
        )
        return span

    def _operation(self, service: Service) -> str:
        return f"/v1/{service.name.split('-')[0]}"

    def _draw_tags(self, service: Service, code: int) -> str:
        """Return the pod and version, of a group that fails in proportion where groups differ."""
        groups = self._view.world.history.details(service.name, self._tick).groups
        pods = service.ready_pods(self._tick) or service.pods
        if groups:
            weights = [g.load * (g.own_error_ratio + 1e-6 if code == 500 else 1.0) for g in groups]
            group = groups[_draw_index(self._draws, weights)]
            same = [p for p in pods if (p.zone, p.version) == (group.zone, group.version)]
            pods = same or pods
        if not pods:
            return ""
        pod = self._draws.choose(pods)
        return f"pod={pod.name} version={pod.version} zone={pod.zone}"

    def _add_calls(
        self, span: Span, service: Service, load: float, has_failed: bool, depth: int
    ) -> None:
        """Add the calls of a request. If it failed, one of them may be the reason."""
        failures = {
            client.callee: CallFailures(self._view, service.name, client.callee, self._tick)
            for client in service.clients
        }
        reach = {
            callee: min(1.0, failure.calls / (30.0 * load)) if load > 0.0 else 0.0
            for callee, failure in failures.items()
        }
        weights = {
            client.callee: failures[client.callee].total * reach[client.callee]
            for client in service.clients
            if not client.is_optional
        }
        failing = ""
        if has_failed:
            own = self._own_failures(service, span.status)
            names = [*weights, ""]
            failing = names[_draw_index(self._draws, [*weights.values(), own])]
        for client in service.clients:
            if client.callee == failing:
                span.children.append(self._failed_call(service, failures[failing], failing, depth))
                break  # the request ends there
            if self._draws.uniform() < reach[client.callee]:
                child = self.build_span(
                    self._view.service(client.callee), TraceStatus.OK, depth + 1
                )
                if child is not None:
                    span.children.append(child)

    def _own_failures(self, service: Service, status: str) -> float:
        """Return the share of requests that failed without a call, given the status."""
        values = self._view.world.history.service_values(service.name, self._tick)
        if status in ("502", "504"):
            return 0.0
        total = values[Column.REJECTED] + values[Column.CLIENT_ERRORS]
        return total + values[Column.EXCEPTION] + 1e-9

    def _failed_call(
        self, service: Service, failures: CallFailures, callee: str, depth: int
    ) -> Span:
        client = service.client_of(callee)
        kinds = ("pool", "connection", "late", "answered")
        shares = (
            failures.pool_timeout,
            failures.connection,
            failures.late,
            sum_left_to_right(failures.by_code.values()),
        )
        kind = kinds[_draw_index(self._draws, shares)]
        if kind == "pool":
            milliseconds = 1000.0 * client.acquire_timeout_seconds
            return Span(service.name, f"pool.acquire {callee}", milliseconds, "timeout",
                        f"pool_size={client.pool_size}")  # fmt: skip
        attempts = client.max_attempts if failures.attempts > 1.05 else 1
        tags = f"attempts={attempts}" if attempts > 1 else ""
        if kind == "connection":
            return Span(service.name, f"connect {callee}", 2.0, "failed", tags)
        status = TraceStatus.ERROR if kind == "answered" else TraceStatus.OK
        child = self.build_span(self._view.service(callee), status, depth + 1)
        if kind == "late":
            timeout = 1000.0 * client.timeout_seconds * attempts
            span = Span(service.name, f"call {callee}", timeout, "timeout", tags)
            if child is not None:
                child.milliseconds = max(child.milliseconds, timeout / attempts)
                child.tags += " unfinished"
                span.children.append(child)
            return span
        return child or Span(callee, self._operation(service), 1.0, "500", tags)

    def draw_path_to(self, name: str) -> list[Service]:
        """Return services from an entry down to the callers of a service."""
        path: list[Service] = []
        while self._view.world.incoming[name]:
            rates = self._view.newest_by("request_rate", name, Label.CALLER)
            callers = sorted(rates)
            name = callers[_draw_index(self._draws, [rates[caller] for caller in callers])]
            path.insert(0, self._view.service(name))
        return path

    def wrap(self, path: Sequence[Service], span: Span) -> Span:
        """Return the trace's first span: the services of the path around a span."""
        for service in reversed(path):
            own = 1000.0 * (service.base_latency_seconds + service.cpu_seconds_per_request)
            status = "200"
            if span.has_failed and not service.client_of(span.service).is_optional:
                status = "504" if span.status == "timeout" else "502"
            timeout = 1000.0 * service.client_of(span.service).timeout_seconds
            if span.milliseconds >= timeout:
                status = "504"
            total = min(span.milliseconds, timeout) + own
            tags = self._draw_tags(service, int(status))
            span = Span(service.name, self._operation(service), total, status, tags, [span])
        return span


def _draw_index(draws: BitStream, weights: Sequence[float]) -> int:
    """Return an index with a probability in proportion to its weight."""
    left = draws.uniform() * sum_left_to_right(weights)
    for index, weight in enumerate(weights):
        left -= weight
        if left < 0.0:
            return index
    return len(weights) - 1


def _draw_key(draws: BitStream, shares: dict[int, float]) -> int:
    keys = sorted(shares)
    return keys[_draw_index(draws, [shares[key] for key in keys])]
