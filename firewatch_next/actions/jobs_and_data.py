"""Tools that stop jobs and repair stored data."""

from __future__ import annotations

from collections.abc import Callable

from firewatch_next.actions.action import ActionPlan, ActionTool, Arguments, PlannedEdit
from firewatch_next.actions.arguments import require_name, require_service, require_text
from firewatch_next.actions.data_repairs import DATA_REPAIRS
from firewatch_next.simulation.edits import SetIndex, SetJob
from firewatch_next.simulation.world import World

INDEX_BUILD_TICKS = 4


def plan_stop_job(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Stop a job of a service, or end a session that blocks others."""
    jobs = require_service(world, service).jobs
    job = require_name(require_text(arguments, "job"), jobs, "job")
    if not jobs[job].is_running:
        return ActionPlan((), "Nothing to change here.")
    return ActionPlan((PlannedEdit(0, SetJob(service, job, False)),), f"Stopping {job}.")


def _plan_index(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Build an index and its statistics anew; without a name, every index of the service."""
    indexes = {statement.index for statement in world.services[service].statements.values()}
    if not indexes:
        return ActionPlan((), "Nothing to change here.")
    name = require_name(str(arguments.get("name", "all")), {"all", *indexes}, "name")
    chosen = sorted(indexes) if name == "all" else [name]
    edits = tuple(PlannedEdit(INDEX_BUILD_TICKS, SetIndex(service, i, True)) for i in chosen)
    return ActionPlan(edits, f"Building {', '.join(chosen)}: done in {INDEX_BUILD_TICKS} ticks.")


REPAIRABLE: dict[str, Callable[[World, str, Arguments], ActionPlan]] = {
    "index": _plan_index,
    **DATA_REPAIRS,
}


def plan_repair_data(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Repair a kind of data of a service; `what` names the kind."""
    require_service(world, service)
    what = require_name(require_text(arguments, "what"), REPAIRABLE, "what")
    return REPAIRABLE[what](world, service, arguments)


TOOLS = (
    ActionTool("stop_job", plan_stop_job),
    ActionTool("repair_data", plan_repair_data),
)
