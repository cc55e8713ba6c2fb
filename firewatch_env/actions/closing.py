"""Declaring an incident over, and calling for help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.actions.registry import Outcome, closing
from firewatch_env.engine.service import Service
from firewatch_env.engine.world import World


@closing("declare_resolved")
def declare_resolved(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Declare the incident over; the episode ends."""
    return Outcome("declared resolved; the episode is over", None)


@closing("escalate")
def escalate(world: World, service: Service, parameters: Mapping[str, Any]) -> Outcome:
    """Call for a second engineer; recorded, and nothing changes."""
    return Outcome("escalated; nothing changed", None)
