"""Scores as waterfalls, without a browser."""

from __future__ import annotations

import re

import pytest

from metric_tracker_rl.engine.session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.page.hero.heat import made_again
from metric_tracker_rl.page.score import score_waterfall
from metric_tracker_rl.rows import RewardBreakdown
from openenv_kit.page.state import Visitor
from openenv_kit.page.waterfall import Part, waterfall_html

TASK = "hard_mixed_multi"
CHANGES = re.compile(r"<em>([+−]?[\d.]+)</em>")


def changes(html: str) -> list[float]:
    return [float(each.replace("−", "-")) for each in CHANGES.findall(html)]


def played(*, wrong: int, missing: int) -> Visitor:
    """A visitor whose report lacks rows, and holds some that nobody asked for."""
    visitor = Visitor(ENVIRONMENT)
    visitor.start(task_id=TASK)
    rows = [row.as_dict() for row in made_again(visitor.reset).episode.expected_rows]
    visitor.rows = [dict(row) for row in rows[missing:]]
    visitor.rows[0]["severity"] = "low" if rows[missing]["severity"] != "low" else "high"
    visitor.rows += [
        {**rows[0], "entity_name": name, "entity_type": "event_count"}
        for name in ("app_opens", "menu_opens")[:wrong]
    ]
    visitor.step({"classifications": visitor.rows})
    return visitor


@pytest.mark.parametrize(("wrong", "missing"), [(0, 0), (0, 2), (2, 1)])
def test_the_bars_of_a_score_add_up_to_it(wrong: int, missing: int) -> None:
    visitor = played(wrong=wrong, missing=missing)
    got = RewardBreakdown.model_validate(visitor.reply["reward_breakdown"])
    html = score_waterfall(got)
    *steps, total = changes(html)
    assert total == pytest.approx(visitor.score, abs=1e-4)
    assert sum(steps) == pytest.approx(total, abs=5e-4)
    assert f"{got.matched_rows} of {got.expected_rows} expected row(s) found" in html
    assert ("that nobody asked for" in html) is bool(wrong)


def test_a_waterfall_never_leaves_its_axis() -> None:
    html = waterfall_html([Part("<b>", 0.4, "x"), Part("y", -0.9, "z")], 0.0, "never below 0")
    assert "left:0.00%;width:40.00%" in html
    assert html.count("left:0.00%") == 3
    assert "&lt;b&gt;" in html


def test_nothing_to_find_is_told_as_such() -> None:
    session = EpisodeSession()
    session.reset(seed=3, anomaly_count=0)
    reply = session.step({"classifications": []})
    assert "the empty report scores 1" in score_waterfall(reply.content["reward_breakdown"])
