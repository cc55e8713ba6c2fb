"""Players of the drill-down tier: the reference, and heuristics that must stay below it.

`reference` plays through the tools like anybody else. `heuristics` are given the whole cube and
sound baselines for nothing, so that what they earn is what one idea is worth.
"""

from __future__ import annotations

from metric_tracker_rl.drilldown.policies.desk import submit
from metric_tracker_rl.drilldown.policies.reference import drill_reference
from metric_tracker_rl.drilldown.policies.sql_reference import drill_sql_reference
from openenv_kit.play.policies import Observed, Play, Policies

POLICIES = Policies()
"""Scripted players by name."""

POLICIES.register("drill_reference")(drill_reference)
POLICIES.register("drill_sql_reference")(drill_sql_reference)


@POLICIES.register("drill_null")
def drill_null(_: Observed) -> Play:
    """Reports nothing."""
    yield submit([])
