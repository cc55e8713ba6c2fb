"""Players of the drill-down tier: the reference, and heuristics that must stay below it.

`drill_reference` plays through the tools like anybody else: `reference` and `by_sql` ask,
`hidden_search` decides what to ask for, from `pair_tables` and single segments by `comparison`, and
`desk` keeps what was read. Heuristics are given the whole cube and sound baselines for nothing, as
`scan` has them, so that what they earn is what one idea is worth: `heuristics`, `readers` of
tables, `insights` taken away, and the `adversary` that combines them.
"""

from __future__ import annotations

from metric_tracker_rl.drilldown.policies.by_sql import by_sql
from metric_tracker_rl.drilldown.policies.desk import Desk, ask, submit
from metric_tracker_rl.drilldown.policies.reference import search
from openenv_kit.play.policies import Observed, Play, Policies

POLICIES = Policies()
"""Scripted players by name."""


@POLICIES.register("drill_reference")
def drill_reference(_: Observed) -> Play:
    """Finds what moved by slices, or by SQL where that is offered, and takes it out."""
    overview = yield from ask("overview")
    desk = Desk(overview)
    player = search(desk)
    yield submit((yield from by_sql(desk, player) if "sql" in overview else player))
