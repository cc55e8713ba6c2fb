"""A tool that completes a rollout which stopped on the way."""

from __future__ import annotations

from firewatch_next.actions.action import ActionPlan, ActionTool, Arguments, PlannedEdit
from firewatch_next.actions.arguments import require_service
from firewatch_next.actions.repair import ROLLOUT_TICKS
from firewatch_next.simulation.edits import RollOut
from firewatch_next.simulation.world import World


def plan_finish_rollout(world: World, name: str, arguments: Arguments) -> ActionPlan:
    """Bring every pod of a service to the version and revision of its newest rollout."""
    service = require_service(world, name)
    version, revision = service.version, service.revision
    if all(pod.version == version and pod.revision == revision for pod in service.pods):
        return ActionPlan((), "Nothing to change here.")
    reply = f"Finishing the rollout of {name}: complete in {ROLLOUT_TICKS} ticks."
    return ActionPlan((PlannedEdit(0, RollOut(name, version, revision)),), reply)


TOOLS = (ActionTool("finish_rollout", plan_finish_rollout),)
