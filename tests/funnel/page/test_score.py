"""Scores as waterfalls, tables of rows and units, without a browser."""

from __future__ import annotations

import re

import pytest

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.page.format_values import format_with_unit
from metric_tracker_rl.page.metric_map.map_html import rebuild_episode
from metric_tracker_rl.page.score import score_waterfall_html
from metric_tracker_rl.wire_models import RewardBreakdown
from openenv_kit.page.components.row_editor import (
    MAX_ROWS,
    EditorColumn,
    apply_row_edit,
    editor_html,
)
from openenv_kit.page.components.waterfall import ScorePart, waterfall_html
from openenv_kit.page.visitor import Visitor

TASK = "hard_mixed_multi"
CHANGES = re.compile(r"<em>([+−]?[\d.]+)</em>")


def changes(html: str) -> list[float]:
    return [float(each.replace("−", "-")) for each in CHANGES.findall(html)]


def played(*, wrong: int, missing: int) -> Visitor:
    """A visitor whose report lacks rows, and holds some that nobody asked for."""
    visitor = Visitor(ENVIRONMENT)
    visitor.start_episode(task_id=TASK)
    rows = [row.as_dict() for row in rebuild_episode(visitor.reset).episode.expected_rows]
    visitor.report_rows = [dict(row) for row in rows[missing:]]
    visitor.report_rows[0]["severity"] = "low" if rows[missing]["severity"] != "low" else "high"
    visitor.report_rows += [
        {**rows[0], "entity_name": name, "entity_type": "event_count"}
        for name in ("app_opens", "menu_opens")[:wrong]
    ]
    visitor.step({"classifications": visitor.report_rows})
    return visitor


@pytest.mark.parametrize(("wrong", "missing"), [(0, 0), (0, 2), (2, 1)])
def test_the_bars_of_a_score_add_up_to_it(wrong: int, missing: int) -> None:
    visitor = played(wrong=wrong, missing=missing)
    got = RewardBreakdown.model_validate(visitor.last_observation["reward_breakdown"])
    html = score_waterfall_html(got)
    *steps, total = changes(html)
    assert total == pytest.approx(visitor.last_observation["reward"], abs=1e-4)
    assert sum(steps) == pytest.approx(total, abs=5e-4)
    assert f"{got.matched_rows} of {got.expected_rows} expected rows were found" in html
    assert ("Extra rows: " in html) is bool(wrong)


def test_a_waterfall_never_leaves_its_axis() -> None:
    html = waterfall_html(
        [ScorePart("<b>", 0.4, "x"), ScorePart("y", -0.9, "z")], 0.0, "never below 0"
    )
    assert "left:0.00%;width:40.00%" in html
    assert html.count("left:0.00%") == 3
    assert "&lt;b&gt;" in html


def test_nothing_to_find_is_told_as_such() -> None:
    session = EpisodeSession()
    session.reset(seed=3, anomaly_count=0)
    reply = session.step({"classifications": []})
    assert "the empty report scores 1" in score_waterfall_html(
        reply.observation_fields["reward_breakdown"]
    )


def test_a_table_of_rows_changes_by_what_the_page_may_send_and_by_nothing_else() -> None:
    columns, rows = (
        [EditorColumn("date", "date"), EditorColumn("severity", "severity")],
        [{"date": "x"}, {}],
    )
    assert apply_row_edit(rows, columns, '[0, "date", " y "]') == ([{"date": "y"}, {}], 0)
    assert apply_row_edit(rows, columns, '[2, "", "add"]') == ([{"date": "x"}, {}, {}], 2)
    assert apply_row_edit(rows, columns, '[0, "", "drop"]') == ([{}], 0)
    for change in (
        None,
        "",
        "3",
        "[0]",
        '[2, "date", "y"]',
        '[-1, "date", "y"]',
        '[0, "gone", "y"]',
        '[0, "date", 3]',
        '["0", "date", "y"]',
        '[5, "", "drop"]',
        "[" * 100_000,
    ):
        assert apply_row_edit(rows, columns, change) == (rows, -1), change
    full = [{} for _ in range(MAX_ROWS)]
    assert apply_row_edit(full, columns, f'[{MAX_ROWS}, "", "add"]') == (full, -1)
    html = editor_html("e", [EditorColumn("date", "date", [("Monday", "x")])], rows, "Rows")
    assert html.count(" selected") == 2
    assert '<option value="strange" selected>' in editor_html(
        "e", [EditorColumn("date", "date", [("Monday", "x")])], [{"date": "strange"}], "Rows"
    )


def test_numbers_of_rows_have_units() -> None:
    rate = {"entity_type": "conversion_rate"}
    assert format_with_unit("observed_value", 12.5, rate) == "12.5 %"
    assert format_with_unit("delta_value", -1.5, rate) == "-1.5 points"
    assert format_with_unit("median_value", 1200, {"metric_name": "app_opens"}) == "1,200 events"
    assert format_with_unit("sample_size", 28, {"metric_name": "app_opens"}) == "28"
    assert format_with_unit("found", True, rate) == "yes"
