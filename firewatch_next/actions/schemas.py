"""Arguments of the tools that change the world, as models see them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from firewatch_next.actions.jobs_and_data import REPAIRABLE
from firewatch_next.actions.limit import LIMITS
from openenv_kit.tool import Tool, ToolArguments

_SERVICE = Field(description="name of a service")

LimitKind = StrEnum(  # type: ignore[misc]  # mypy knows only literal members
    "LimitKind", {name.upper(): name for name in sorted(LIMITS)}
)
RepairKind = StrEnum(  # type: ignore[misc]
    "RepairKind", {name.upper(): name for name in sorted(REPAIRABLE)}
)


class BreakerChoice(StrEnum):
    """State of a breaker."""

    OPEN = "open"
    CLOSED = "closed"


class RenewChoice(StrEnum):
    """What is renewed."""

    CERTIFICATE = "certificate"
    CLOCK = "clock"


class ServiceArguments(ToolArguments):
    """A service only."""

    service: str = _SERVICE


class UndoArguments(ToolArguments):
    """Arguments of `undo_change`."""

    change_id: str = Field(description='id of a listed change, such as "CHG-4471"')
    service: str = Field("", description="service of the change; it may be left out")


class FlagArguments(ServiceArguments):
    """Arguments of `set_flag`."""

    flag: str = Field(description="name of the flag")
    percent: float = Field(ge=0, le=100, description="share of the requests with the flag")


class JobArguments(ServiceArguments):
    """Arguments of `stop_job`."""

    job: str = Field(description="name of a job or of a session that blocks others")


class RestartArguments(ServiceArguments):
    """Arguments of `restart_pods`."""

    part: str = Field("all", description="a zone, or all")


class ScaleArguments(ServiceArguments):
    """Arguments of `scale_service`."""

    replicas: int | None = Field(None, description="pods; at most 3 times the usual number")
    cpu_cores: float | None = Field(None, description="CPU limit per pod; at most 3 times")
    memory_mb: int | None = Field(None, description="memory limit per pod; at most 2.5 times")
    cache_mb: int | None = Field(None, description="memory of a cache; at most 4 times")


class ShiftArguments(ServiceArguments):
    """Arguments of `shift_traffic`."""

    away_from: str = Field(
        description="a zone, version or node; replicas (reads go to the primary); none (even)"
    )
    percent: float = Field(100, ge=0, le=100, description="share of its traffic that moves")


class BreakerArguments(ServiceArguments):
    """Arguments of `set_breaker`."""

    state: BreakerChoice = Field(description="behind an open breaker nothing is called")
    callee: str = Field("all", description="callee of the service, or all")


class ClientArguments(ServiceArguments):
    """Arguments of `set_client`."""

    callee: str = Field("all", description="callee of the service, or all")
    timeout_ms: float | None = Field(None, description="timeout of a call")
    max_attempts: int | None = Field(None, description="attempts per call; 1 is without retries")
    backoff: bool | None = Field(None, description="space retries so that they add no load")


class LimitArguments(ServiceArguments):
    """Arguments of `set_limit`."""

    kind: LimitKind = Field(description="what is limited")
    value: float = Field(ge=0, description="requests per second, or length of the queue")
    caller: str | None = Field(None, description="for the kind caller: a caller or a job")


class ConfigArguments(ServiceArguments):
    """Arguments of `set_config`."""

    key: str = Field(description="key as `run_diagnostic settings` lists it")
    value: str = Field(description="new value")


class RenewArguments(ServiceArguments):
    """Arguments of `renew`."""

    what: RenewChoice = Field(description="certificate, or clock of the service's nodes")


class MoveArguments(ToolArguments):
    """Arguments of `move_pods`."""

    service: str = Field("all", description="name of a service, or all")
    away_from: str = Field(description="a node or a zone")


class DataArguments(ServiceArguments):
    """Arguments of `repair_data`."""

    what: RepairKind = Field(description="what is repaired")
    name: str | None = Field(None, description="for the kind index: its name")


class DeclareArguments(ToolArguments):
    """Arguments of `declare_resolved`. Service and change are recorded only."""

    service: str = Field("", description="service that was faulty; it is not scored")
    change_id: str = Field("", description="change that was faulty; it is not scored")


class EscalateArguments(ToolArguments):
    """Arguments of `escalate`."""


def _tool(name: str, description: str, arguments_type: type[ToolArguments]) -> Tool:
    return Tool(name, description, arguments_type, is_read_only=False)


ACTION_SCHEMAS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        _tool("undo_change", "Undo a listed change, with all that it brought.", UndoArguments),
        _tool("set_flag", "Set the share of requests that run a flag's code.", FlagArguments),
        _tool("stop_job", "Stop a job, or end a session that blocks others.", JobArguments),
        _tool("finish_rollout", "Complete a rollout that stopped.", ServiceArguments),
        _tool("restart_pods", "Restart pods, a quarter per minute.", RestartArguments),
        _tool("scale_service", "Set pods or sizes; pods and CPU are lent.", ScaleArguments),
        _tool("shift_traffic", "Send traffic elsewhere, for the time being.", ShiftArguments),
        _tool("set_breaker", "Open or close a service's breakers.", BreakerArguments),
        _tool("set_client", "Set a service's clients of its callees.", ClientArguments),
        _tool("set_limit", "Limit a kind of traffic of a service.", LimitArguments),
        _tool("set_config", "Set a configuration key of a service.", ConfigArguments),
        _tool("renew", "Renew a certificate, or set clocks.", RenewArguments),
        _tool("move_pods", "Start pods on other nodes or in other zones.", MoveArguments),
        _tool("repair_data", "Repair stored data or what belongs to it.", DataArguments),
    )
}
CLOSING_TOOLS: dict[str, Tool] = {
    "declare_resolved": Tool(
        "declare_resolved", "Declare the incident over. This ends the episode.", DeclareArguments,
        is_read_only=False, is_final=True, has_episode_data=False,
    ),
    "escalate": Tool(
        "escalate", "Call a second engineer. It is recorded and changes nothing.",
        EscalateArguments, is_read_only=False, has_episode_data=False,
    ),
}  # fmt: skip
