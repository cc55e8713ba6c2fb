"""Tools that restore something: undo a change, set a flag or a setting, restart pods."""

from __future__ import annotations

from firewatch_next.actions.action import (
    ActionPlan,
    ActionTool,
    Arguments,
    PlannedEdit,
)
from firewatch_next.actions.arguments import (
    require_name,
    require_number,
    require_service,
    require_text,
)
from firewatch_next.simulation.edits import Edit, RestartPods, SetFlag, SetSetting
from firewatch_next.simulation.pods import AWAY_TICKS, BATCH_TICKS, BATCHES
from firewatch_next.simulation.world import World

ROLLOUT_TICKS = (BATCHES - 1) * BATCH_TICKS + AWAY_TICKS
_NOTHING = ActionPlan((), "Nothing to change here.")


def _plan_now(reply: str, *edits: Edit) -> ActionPlan:
    return ActionPlan(tuple(PlannedEdit(0, edit) for edit in edits), reply)


def plan_undo_change(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Undo a listed change that happened before, with everything that this brings."""
    listed = {change.id: change for change in world.changes if change.tick <= world.tick}
    change_id = require_name(require_text(arguments, "change_id"), listed, "change_id")
    if change_id in world.undone_changes:
        return ActionPlan((), f"{change_id} is undone already.", is_repeat=True)
    world.undone_changes.add(change_id)
    return _plan_now(
        f"Undoing {change_id}: complete within {ROLLOUT_TICKS} ticks.",
        *listed[change_id].undo_edits,
    )


def plan_set_flag(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Set the percentage of requests that run a flag's code, from the next tick on."""
    flags = require_service(world, service).flags
    flag = require_name(require_text(arguments, "flag"), flags, "flag")
    percent = require_number(arguments, "percent", 0.0, 100.0)
    if flags[flag].percent == percent:
        return _NOTHING
    return _plan_now(f"{flag} is set to {percent:g} %.", SetFlag(service, flag, percent))


def plan_set_config(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Set a configuration key of a service."""
    settings = require_service(world, service).settings
    key = require_name(require_text(arguments, "key"), settings, "key")
    value = str(arguments.get("value", ""))
    if settings[key].replace(".", "", 1).isdigit():
        value = f"{require_number({'value': _to_number(value)}, 'value', 0.0, 1e9):g}"
    if settings[key] == value:
        return _NOTHING
    return _plan_now(f"{key} is set to {value}.", SetSetting(service, key, value))


def _to_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def plan_restart_pods(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Restart a service's pods, a quarter per minute; `part` names a zone or is "all"."""
    zones = {pod.zone for pod in require_service(world, service).pods}
    part = require_name(str(arguments.get("part", "all")), {"all", *zones}, "part")
    zone = "" if part == "all" else part
    return _plan_now(
        f"Restarting {service}: complete in {ROLLOUT_TICKS} ticks.", RestartPods(service, zone)
    )


TOOLS = (
    ActionTool("undo_change", plan_undo_change),
    ActionTool("set_flag", plan_set_flag),
    ActionTool("set_config", plan_set_config),
    ActionTool("restart_pods", plan_restart_pods),
)
