"""A tool for the settings of a service's clients."""

from __future__ import annotations

from firewatch_next.actions.action import (
    ActionError,
    ActionPlan,
    ActionTool,
    Arguments,
    PlannedEdit,
)
from firewatch_next.actions.arguments import require_name, require_number, require_service
from firewatch_next.simulation.edits import Edit, SetBackOff, SetSetting
from firewatch_next.simulation.service import CalleeClient
from firewatch_next.simulation.settings import format_number
from firewatch_next.simulation.world import World

MAX_TIMEOUT_MS = 60_000
MOST_ATTEMPTS = 10
_ALLOWED = ("timeout_ms", "max_attempts", "backoff")


def plan_set_client(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Set timeout, attempts or back-off of a service's client for one callee, or for all."""
    clients = require_service(world, service).clients
    callees = {client.callee for client in clients}
    name = require_name(str(arguments.get("callee", "all")), {"all", *callees}, "callee")
    if not any(key in arguments for key in _ALLOWED):
        raise ActionError(f"set_client has no setting; allowed: {', '.join(_ALLOWED)}")
    edits: list[Edit] = []
    for client in clients:
        if name in ("all", client.callee):
            edits += _client_edits(client, arguments)
    reply = f"The clients of {service} are set." if edits else "Nothing to change here."
    return ActionPlan(tuple(PlannedEdit(0, edit) for edit in edits), reply)


def _client_edits(client: CalleeClient, arguments: Arguments) -> list[Edit]:
    edits: list[Edit] = []
    if "timeout_ms" in arguments:
        milliseconds = require_number(arguments, "timeout_ms", 1, MAX_TIMEOUT_MS)
        if milliseconds != 1000.0 * client.timeout_seconds:
            key = f"timeout_ms.{client.callee}"
            edits.append(SetSetting(client.caller, key, format_number(milliseconds)))
    if "max_attempts" in arguments:
        attempts = int(require_number(arguments, "max_attempts", 1, MOST_ATTEMPTS))
        if attempts != client.max_attempts:
            key = f"max_attempts.{client.callee}"
            edits.append(SetSetting(client.caller, key, str(attempts)))
    if "backoff" in arguments:
        is_backed_off = bool(arguments["backoff"])
        if is_backed_off != client.is_backed_off:
            edits.append(SetBackOff(client.caller, client.callee, is_backed_off))
    return edits


TOOLS = (ActionTool("set_client", plan_set_client),)
