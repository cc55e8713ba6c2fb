"""The page of the drill-down without a browser: what replies told, and the truth at the end."""

from __future__ import annotations

import json
from html import unescape

import pytest

from drilldown_env.environment import ENVIRONMENT
from drilldown_env.page.scenes import DrillScenes
from drilldown_env.page.seen import seen_in, segment_of, text_of
from drilldown_env.page.tree import episode_of
from openenv_kit.page.components.grid import GLYPHS, CellVerdict
from openenv_kit.page.playback import create_playback_of_policy
from openenv_kit.page.tabs import play
from openenv_kit.page.visitor import Visitor
from support.browser import _collect_garbage_after_module  # noqa: F401

SCENES = DrillScenes(ENVIRONMENT)
LOST = ("ordering_app", 63)
"""Product and seed of an episode whose only root is a loss of events."""
AFTER = ("video_streaming", 30)
"""The same; its alert names the step after the root's: the rise that lost events leave there."""


def started(product: str = LOST[0], seed: int = LOST[1]) -> Visitor:
    visitor = Visitor(ENVIRONMENT)
    visitor.start_episode(difficulty="drill_easy", product=product, seed=seed)
    return visitor


@pytest.mark.parametrize(("product", "seed"), [LOST, AFTER])
def test_the_guide_leads_from_an_alert_to_its_root(product: str, seed: int) -> None:
    visitor = started(product, seed)
    for _ in range(8):
        move = SCENES.suggest_next_step(visitor)
        if move.event == "ask":
            play._call_suggested_tool_or_ask_before_end(SCENES, visitor, move.value)
        elif move.event == "pick":
            play._set_overview_selection(visitor, move.value)
    (root,) = episode_of(visitor.reset).expected_rows
    offer, following = SCENES.report_editor(visitor).suggested_rows()
    assert following["direction"] == "up", "the next rate rises where events were lost"
    (part,) = segment_of(str(offer["segment"])) or ()
    assert part in root.segment, "whether it is all of them is for the player to find out"
    for name in ("stage", "direction", "date_from", "date_to"):
        assert offer[name] == getattr(root, name)
    assert offer["kind"] == offer["change"] == "", "the puzzle is left to the player"
    assert (
        SCENES.report_editor(visitor).explain_why_row_cannot_be_submitted(offer) == "kind is empty"
    )
    whole = {"kind": root.kind, "change": root.change, "segment": text_of(root.segment)}
    visitor.report_rows = [{**offer, **whole}]
    play._submit_report_or_ask_if_faulty(SCENES, visitor, None)
    assert SCENES.result_headline(visitor.playback_steps) == "1 of 1 exactly right: 1.00"
    assert "Every row was right." in SCENES.score_explanation_html(
        visitor.playback_steps, visitor.reset
    )


def test_the_headline_of_an_episode_without_roots_says_so() -> None:
    empty = next(
        seed
        for seed in range(60)
        if not episode_of({"difficulty": "drill_easy", "seed": seed}).expected_rows
    )
    visitor = Visitor(ENVIRONMENT)
    visitor.start_episode(difficulty="drill_easy", seed=empty)
    visitor.call_tool("submit_report", {"rows": []})
    assert SCENES.result_headline(visitor.playback_steps) == "There was nothing to find: 1.00"


def test_counts_rates_and_changes_by_week_and_day_agree() -> None:
    found = []
    for measure in ("counts", "rates", "change"):
        visitor = started()
        visitor.call_tool("slice", {"group_by": ["platform"], "every": "week", "measure": measure})
        found.append(seen_in(visitor.playback_steps).changes)
    counts, rates, changes = found
    first = seen_in(visitor.playback_steps).config["stages"][0]
    for place, change in changes.items():
        assert counts[place] == pytest.approx(change, abs=40), place
        assert rates[place] == pytest.approx(change, abs=40), place
    assert any(stage != first for _, stage, _ in changes)
    visitor.call_tool("slice", {"where": {"platform": ["iPhone", "iPad"]}, "measure": "change"})
    assert seen_in(visitor.playback_steps).changes == changes, (
        "two values of an attribute are no segment"
    )


def test_an_answer_is_drawn_as_a_table_for_each_stage_or_as_one() -> None:
    visitor, days = started(), [["2024-06-12", "2024-06-13"]]
    asked = {"group_by": ["country"], "dates": days, "stages": ["app_opens", "menu_opens"]}
    for tool, measure, tables, heads in (
        ("slice", "counts", 2, ("country", *days[0])),
        ("compare", "rates", 2, ("country", "dates", "reference")),
        ("compare", "change", 1, ("country", "app opens", "menu opens")),
    ):
        visitor.call_tool(tool, {**asked, "measure": measure})
        html = SCENES.reply_html_without_status_and_message(visitor.last_observation)
        assert html.count("<table") == tables
        for name in heads:
            assert html.count(f">{name}</th>") == tables, name


def test_before_the_end_only_what_was_told_is_drawn_and_after_it_the_truth() -> None:
    visitor = started()
    html = SCENES.overview_html(visitor.playback_steps, visitor.reset)
    assert "data-t=" not in html
    visitor.call_tool("slice", {"group_by": ["channel"], "every": "week", "measure": "change"})
    html = SCENES.overview_html(visitor.playback_steps, visitor.reset)
    assert html.count("data-t=") == 4 * 8
    visitor.call_tool("change_log", {})
    assert "guilty" not in SCENES.details_html(visitor)
    visitor.take_step(SCENES.report_editor(visitor).build_submit_action([]))
    html = SCENES.overview_html(visitor.playback_steps, visitor.reset)
    assert f">{GLYPHS[CellVerdict.MISSING]}</b>" in html
    root = episode_of(visitor.reset).expected_rows[0]
    assert ("guilty" in SCENES.details_html(visitor)) is (root.change != "unattributed")
    story = unescape(SCENES.score_explanation_html(visitor.playback_steps, visitor.reset))
    assert f"slice(where={json.dumps(dict(root.segment))}" in story


@pytest.mark.slow
def test_the_reference_fills_the_picture_and_matches_every_root() -> None:
    for task in ("drill_hard_saas_trial", "drill_sql_ordering_app"):
        reset = ENVIRONMENT.reset_arguments_by_task_id[task]
        playback = create_playback_of_policy(ENVIRONMENT.policies["reference"], reset, ENVIRONMENT)
        html = SCENES.overview_html(playback.steps, playback.reset)
        roots = len(episode_of(reset).expected_rows)
        assert html.count(f'class="v-matched">{GLYPHS[CellVerdict.MATCHED]}</b>') >= roots
        assert SCENES.result_headline(playback.steps).endswith(": 1.00")


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("", ()),
        ("country=India, channel=paid search", (("channel", "paid search"), ("country", "India"))),
        (" app_version = 8.7 ", (("app_version", "8.7"),)),
        ("country", None),
        ("=India", None),
    ],
)
def test_a_segment_is_read_as_it_is_written(
    text: str, segment: tuple[tuple[str, str], ...] | None
) -> None:
    assert segment_of(text) == segment
    if segment is not None:
        assert segment_of(text_of(segment)) == segment
