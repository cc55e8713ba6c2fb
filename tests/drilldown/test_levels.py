"""Levels of the drill-down."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from drilldown_env.building import build_episode
from drilldown_env.levels import LOSS
from drilldown_env.policies.exploits import read_alert
from drilldown_env.policies.reader import Names
from drilldown_env.session import config_of
from drilldown_env.tools import overview


@pytest.mark.slow
def test_the_lowest_rung_of_drill_down_has_one_root_that_its_alert_shows() -> None:
    for seed in range(3):
        episode = build_episode(config_of({"difficulty": 0.0, "seed": seed}))
        (root,) = episode.expected_rows
        assert len(root.segment) <= 1
        alert = read_alert(Names(overview(episode)), episode.alert)
        steps = [(episode.domain.stages.index(root.stage), root.direction == "up")]
        if root.kind == LOSS:
            steps.append((steps[0][0] + 1, True))
        assert (alert.stage, alert.rises) in steps
        monday = date.fromisoformat(root.date_from)
        monday -= timedelta(days=monday.weekday())
        mondays = [monday, monday + timedelta(days=7)]
        named = [day for day in mondays if f"week of {day.day} {day:%B}" in episode.alert]
        assert named, (episode.alert, root)
        assert named[0].isoformat() <= root.date_to
