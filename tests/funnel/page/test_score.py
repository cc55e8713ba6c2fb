"""The explanation of a score, without a browser."""

from __future__ import annotations

import re

import pytest

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.page.score import score_waterfall_html
from metric_tracker_rl.page.visible_state import rebuild_episode_from_reset_arguments
from metric_tracker_rl.wire_models import RewardBreakdown
from openenv_kit.page.visitor import Visitor

TASK = "hard_mixed_multi"
CHANGES = re.compile(r"<em>([+−]?[\d.]+)</em>")


def changes(html: str) -> list[float]:
    return [float(each.replace("−", "-")) for each in CHANGES.findall(html)]


def played(*, wrong: int, missing: int) -> Visitor:
    """A visitor whose report lacks rows, and holds some that nobody asked for."""
    visitor = Visitor(ENVIRONMENT)
    visitor.start_episode(task_id=TASK)
    rows = [
        row.as_dict()
        for row in rebuild_episode_from_reset_arguments(visitor.reset).episode.expected_rows
    ]
    visitor.report_rows = [dict(row) for row in rows[missing:]]
    visitor.report_rows[0]["severity"] = "low" if rows[missing]["severity"] != "low" else "high"
    visitor.report_rows += [
        {**rows[0], "entity_name": name, "entity_type": "event_count"}
        for name in ("app_opens", "menu_opens")[:wrong]
    ]
    visitor.take_step({"classifications": visitor.report_rows})
    return visitor


@pytest.mark.parametrize(("wrong", "missing"), [(0, 0), (0, 2), (2, 1)])
def test_the_bars_of_a_score_add_up_to_it(wrong: int, missing: int) -> None:
    visitor = played(wrong=wrong, missing=missing)
    got = RewardBreakdown.model_validate(visitor.last_observation["reward_breakdown"])
    html = score_waterfall_html(got)
    *steps, total = changes(html)
    assert f"<em>× {got.precision:.4g}</em>" in html
    assert total == pytest.approx(visitor.last_observation["reward"], abs=1e-4)
    shares, penalties = (sum(s for s in steps if (s > 0) is up) for up in (True, False))
    assert shares * got.precision + penalties == pytest.approx(total, abs=5e-4)
    assert f"{got.matched_rows} of {got.expected_rows} expected rows were found" in html
    assert ("Extra rows: " in html) is bool(wrong)


def test_result_of_calm_episode_says_that_nothing_was_expected() -> None:
    session = EpisodeSession()
    session.reset(seed=3, anomaly_count=0)
    reply = session.step({"classifications": []})
    assert "the empty report scores 1" in score_waterfall_html(
        reply.observation_fields["reward_breakdown"]
    )
