"""The tools that observe a world without changing it: arguments, their checks, and replies.

`observe` is the entry point. A call shows the world at its present tick; the session advances the
world first.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, field_validator

from firewatch_next.changes.change import ChangeKind
from firewatch_next.simulation.log_event import LogLevel
from firewatch_next.simulation.metrics import METRICS, Label
from firewatch_next.telemetry.changes import MAX_WINDOW_MINUTES, list_changes
from firewatch_next.telemetry.diagnostics import DiagnosticKind, run_diagnostic
from firewatch_next.telemetry.logs import MAX_LINES, search_logs
from firewatch_next.telemetry.metrics import ALL_SERVICES, MAX_METRICS, MAX_POINTS, query_metrics
from firewatch_next.telemetry.service_map import show_service_map
from firewatch_next.telemetry.traces import MAX_TRACES, TraceStatus, find_traces
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.errors import ToolArgumentError, build_unknown_name_message, truncated_repr
from openenv_kit.tool import ToolArguments, Tools

WINDOW_MINUTES = 90
OBSERVE_TOOLS = Tools()

_SERVICE = Field(description="name of a service")
_SERVICE_OR_ALL = Field(ALL_SERVICES, description="name of a service, or * for all")
_WINDOW_TEXT = "length of the window that ends now, in minutes"
_WINDOW = Field(30, ge=1, le=WINDOW_MINUTES, description=_WINDOW_TEXT)


class GroupBy(StrEnum):
    """Label by which metrics are grouped."""

    NONE = "none"
    ZONE = "zone"
    VERSION = "version"
    POD = "pod"
    CODE = "code"
    CALLER = "caller"
    CALLEE = "callee"


class ChangeFilter(StrEnum):
    """Kinds of changes that are listed."""

    ALL = "all"
    DEPLOY = "deploy"
    CONFIG = "config"
    FLAG = "flag"
    MIGRATION = "migration"
    JOB = "job"
    INFRA = "infra"
    CERTIFICATE = "certificate"
    SCALE = "scale"


class MetricArguments(ToolArguments):
    """Arguments of `query_metrics`."""

    service: str = Field(description="name of a service, or * for all")
    metrics: list[str] = Field(
        min_length=1,
        max_length=MAX_METRICS,
        description=f"up to {MAX_METRICS} of: {', '.join(METRICS)}",
    )
    group_by: GroupBy = Field(GroupBy.NONE, description="label to group by")
    window_minutes: int = _WINDOW
    points: int = Field(6, ge=1, le=MAX_POINTS, description="points per series")

    @field_validator("metrics", mode="before")
    @classmethod
    def _split_text(cls, value: object) -> object:
        """Accept one text with names between commas too."""
        if isinstance(value, str):
            return [name.strip() for name in value.split(",") if name.strip()]
        return value


class LogArguments(ToolArguments):
    """Arguments of `search_logs`."""

    service: str = Field(description="name of a service, or a prefix and *")
    query: str = Field("", max_length=100, description="text that a line contains, in any case")
    level: LogLevel = Field(LogLevel.DEBUG, description="least severe level")
    window_minutes: int = Field(10, ge=1, le=WINDOW_MINUTES, description=_WINDOW_TEXT)
    limit: int = Field(20, ge=1, le=MAX_LINES, description="largest number of lines")


class TraceArguments(ToolArguments):
    """Arguments of `find_traces`."""

    service: str = _SERVICE
    status: TraceStatus = Field(TraceStatus.ANY, description="outcome at the service")
    min_milliseconds: float = Field(0, ge=0, le=600_000, description="shortest duration there")
    limit: int = Field(1, ge=1, le=MAX_TRACES, description="number of traces")


class ServiceMapArguments(ToolArguments):
    """Arguments of `show_service_map`."""

    service: str = _SERVICE_OR_ALL


class ChangeArguments(ToolArguments):
    """Arguments of `list_changes`."""

    service: str = _SERVICE_OR_ALL
    kind: ChangeFilter = Field(ChangeFilter.ALL, description="kind of change")
    window_minutes: int = Field(
        MAX_WINDOW_MINUTES, ge=1, le=MAX_WINDOW_MINUTES, description=_WINDOW_TEXT
    )


class DiagnosticArguments(ToolArguments):
    """Arguments of `run_diagnostic`."""

    service: str = _SERVICE
    kind: DiagnosticKind = Field(description="what to look at")


def observe(view: TelemetryView, name: str, arguments: object) -> str:
    """Execute a tool and return its reply.

    Args:
        view: world, task and wording.
        name: name of a tool in `OBSERVE_TOOLS`.
        arguments: not validated.

    Raises:
        ToolArgumentError: an argument is wrong. The text contains the value, what is allowed and
            the nearest match.
        KeyError: for an unknown tool.
    """
    reply = OBSERVE_TOOLS[name].call(view, arguments)
    assert isinstance(reply, str)
    return reply


@OBSERVE_TOOLS.tool(MetricArguments, name="query_metrics")
def _query_metrics(view: TelemetryView, arguments: MetricArguments) -> str:
    """Metric series of a service, newest value last; one series per value of the label."""
    for metric in arguments.metrics:
        if metric not in METRICS:
            raise ToolArgumentError(build_unknown_name_message("metric", metric, METRICS))
    label = None if arguments.group_by is GroupBy.NONE else Label(arguments.group_by)
    metrics = list(dict.fromkeys(arguments.metrics))
    if label is not None and not any(label in METRICS[metric].labels for metric in metrics):
        allowed = sorted({str(name) for metric in metrics for name in METRICS[metric].labels})
        raise ToolArgumentError(
            f"{', '.join(metrics)} cannot be grouped by {str(label)!r}; "
            f"allowed: {', '.join(allowed) or 'no label'}."
        )
    services = _find_services(view, arguments.service, may_be_prefix=False)
    return query_metrics(view, services, metrics, label, arguments.window_minutes, arguments.points)


@OBSERVE_TOOLS.tool(LogArguments, name="search_logs")
def _search_logs(view: TelemetryView, arguments: LogArguments) -> str:
    """Counts of matching log lines, and the newest of them."""
    services = _find_services(view, arguments.service, may_be_prefix=True)
    return search_logs(
        view,
        services,
        arguments.query,
        arguments.level,
        arguments.window_minutes,
        arguments.limit,
    )


@OBSERVE_TOOLS.tool(TraceArguments, name="find_traces")
def _find_traces(view: TelemetryView, arguments: TraceArguments) -> str:
    """Span trees of sampled requests through a service in the last two minutes."""
    service = _find_service(view, arguments.service)
    return find_traces(view, service, arguments.status, arguments.min_milliseconds, arguments.limit)


@OBSERVE_TOOLS.tool(ServiceMapArguments, name="show_service_map")
def _show_service_map(view: TelemetryView, arguments: ServiceMapArguments) -> str:
    """Callers, callees, zones, pods and stack of a service, or a list of all services."""
    if arguments.service == ALL_SERVICES:
        return show_service_map(view, "")
    return show_service_map(view, _find_service(view, arguments.service))


@OBSERVE_TOOLS.tool(ChangeArguments, name="list_changes")
def _list_changes(view: TelemetryView, arguments: ChangeArguments) -> str:
    """Deploys, settings, flags and other changes, newest first, your own included."""
    services = _find_services(view, arguments.service, may_be_prefix=False)
    kind = None if arguments.kind is ChangeFilter.ALL else ChangeKind(arguments.kind)
    return list_changes(view, services, kind, arguments.window_minutes)


@OBSERVE_TOOLS.tool(DiagnosticArguments, name="run_diagnostic")
def _run_diagnostic(view: TelemetryView, arguments: DiagnosticArguments) -> str:
    """One detailed look at a service, such as its settings, threads or connections."""
    return run_diagnostic(view, _find_service(view, arguments.service), arguments.kind)


def _find_service(view: TelemetryView, name: str) -> str:
    if name not in view.world.services:
        raise ToolArgumentError(build_unknown_name_message("service", name, view.world.services))
    return name


def _find_services(view: TelemetryView, name: str, *, may_be_prefix: bool) -> list[str]:
    """Return the service of that name, all with "*", or those with the prefix before the star."""
    if name == ALL_SERVICES:
        return list(view.world.services)
    if may_be_prefix and name.endswith(ALL_SERVICES):
        prefix = name.removesuffix(ALL_SERVICES)
        found = [service for service in view.world.services if service.startswith(prefix)]
        if not found:
            raise ToolArgumentError(
                f"No service begins with {truncated_repr(prefix)}; "
                f"allowed: {', '.join(view.world.services)}."
            )
        return found
    return [_find_service(view, name)]
