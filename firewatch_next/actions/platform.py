"""Tools for certificates, clocks and the nodes on which pods run."""

from __future__ import annotations

from firewatch_next.actions.action import ActionPlan, ActionTool, Arguments, PlannedEdit
from firewatch_next.actions.arguments import require_name, require_service, require_text
from firewatch_next.actions.mitigate import ALL_SERVICES
from firewatch_next.simulation.pods import AWAY_TICKS
from firewatch_next.simulation.repair_edits import MovePods, SetCertificate, SynchronizeClocks
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.simulation.things import USUAL_ISSUER
from firewatch_next.simulation.world import World

CERTIFICATE_TICKS = 2880 * 90  # 90 days


def plan_renew(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Renew a service's certificate, or set the clocks of its nodes."""
    kind = require_service(world, service).kind
    what = require_name(require_text(arguments, "what"), {"certificate", "clock"}, "what")
    if kind is ServiceKind.THIRD_PARTY:
        return ActionPlan((), "Nothing to change here.")
    if what == "clock":
        edit = PlannedEdit(0, SynchronizeClocks(service))
        return ActionPlan((edit,), f"Setting the clocks of the nodes of {service}.")
    expires = world.tick + CERTIFICATE_TICKS
    edits = (PlannedEdit(1, SetCertificate(service, USUAL_ISSUER, expires)),)
    return ActionPlan(edits, f"Renewing the certificate of {service}: done in 1 tick.")


def plan_move_pods(world: World, service: str, arguments: Arguments) -> ActionPlan:
    """Start the pods of one service, or of "all", that are on a node or in a zone elsewhere."""
    name = require_name(service or ALL_SERVICES, {ALL_SERVICES, *world.services}, "service")
    services = world.ordered if name == ALL_SERVICES else [world.services[name]]
    pods = [pod for one in services for pod in one.pods]
    places = {pod.node for pod in pods if pod.node} | {pod.zone for pod in pods}
    away_from = require_name(require_text(arguments, "away_from"), places, "away_from")
    edits = tuple(
        PlannedEdit(0, MovePods(one.name, away_from))
        for one in services
        if any(away_from in (pod.zone, pod.node) for pod in one.pods)
    )
    if not edits:
        return ActionPlan((), "Nothing to change here.")
    reply = f"Moving pods away from {away_from}: they get traffic after {AWAY_TICKS} ticks."
    return ActionPlan(edits, reply)


TOOLS = (ActionTool("renew", plan_renew), ActionTool("move_pods", plan_move_pods))
