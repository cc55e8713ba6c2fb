"""The panel that measures how hard an episode is: scripted players that do not solve everything.

Another panel makes other numbers, so it changes only with a version of the grader.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.policies.heuristics import HEURISTICS
from metric_tracker_rl.drilldown.policies.scan import Scan
from metric_tracker_rl.drilldown.tasks import config_of, is_drill
from openenv_kit.environment import Environment
from openenv_kit.play.panel import scores_of

FUNNEL_PANEL = ("median_filter", "report_all", "upstream_first")
DRILL_PANEL = ("log_moved", "moved_totals", "greedy_from_totals", "greedy_from_singles")
"""Heuristics, which are given the whole cube; their reports are graded without a play."""


def panel_scores(environment: Environment, reset: Mapping[str, Any]) -> Mapping[str, float]:
    """Score of each player of the tier's panel; see `Panelled`."""
    if not is_drill(reset):
        return scores_of(environment, FUNNEL_PANEL, reset)
    scan = Scan(build_episode(config_of(reset)))
    return {name: HEURISTICS[name].grade(scan).score for name in DRILL_PANEL}
