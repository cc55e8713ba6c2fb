"""Tab "Your data": playing the example product, investigating a table, and what is not saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.page.shown_funnel import read_funnel
from metric_tracker_rl.products.parse_product import parse_product
from metric_tracker_rl.products.product_file import format_product
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.clean_table import load_table
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.stage_counts import Grain
from openenv_kit.own_data.table_json import convert_json_to_table, convert_table_to_json
from openenv_kit.page.environment_view import EnvironmentView, get_environment_view_or_default
from openenv_kit.page.layout import _saved_episode_and_address_html
from openenv_kit.page.tabs import play, play_views, your_data
from openenv_kit.page.tabs.start_form import start_form_html
from openenv_kit.page.tabs.your_data import OwnDataOptions, read_example_product, your_data_html
from openenv_kit.page.visitor import Visitor
from openenv_kit.page.your_data.uploaded_table import ImportedProduct, UploadedTable
from support.own_tables import FORMS, build_daily_csv
from support.products import build_level_mapping, build_product_mapping
from support.visitors import expected_rows_of

STAGES = ("visits", "carts", "orders")
Handler = Callable[[EnvironmentView, OwnDataOptions, Visitor, Any], None]


@pytest.fixture
def view() -> EnvironmentView:
    return get_environment_view_or_default(ENVIRONMENT)


@pytest.fixture
def visitor() -> Visitor:
    return Visitor(ENVIRONMENT)


@pytest.fixture
def options() -> OwnDataOptions:
    return OwnDataOptions(may_import=True)


@pytest.fixture
def uploaded(options: OwnDataOptions, tmp_path: Path) -> UploadedTable:
    """Return an imported table, whose last day has the planted count."""
    pytest.importorskip("duckdb")
    path = tmp_path / "shop.csv"
    path.write_bytes(build_daily_csv())
    content = {**build_product_mapping(STAGES, Grain.DAY), "level": build_level_mapping()}
    uploaded = options.tables.add("shop.csv")
    uploaded.table = load_table(ImportOptions(table=path))
    uploaded.product = ImportedProduct(
        "shop", format_product(parse_product(content)), content, "", ()
    )
    return uploaded


def press(handler: Handler, view: EnvironmentView, options: OwnDataOptions, *rest: Any) -> None:
    visitor, value = rest
    handler(view, options, visitor, your_data._parse_choice(json.dumps(value)))


def play_product(view: EnvironmentView, options: OwnDataOptions, *rest: Any) -> None:
    press(your_data._play_product_or_ask, view, options, *rest)


def investigate(view: EnvironmentView, options: OwnDataOptions, *rest: Any) -> None:
    press(your_data._investigate_table_or_ask, view, options, *rest)


def follow_suggestions_to_the_end(view: EnvironmentView, visitor: Visitor) -> None:
    while not visitor.is_done:
        action = view.suggest_action(visitor)
        assert action is not None
        visitor.take_step(action)
        assert visitor.problem == ""


@pytest.mark.parametrize("level", ["easy", "expert"])
def test_example_product_is_played_to_the_end(
    view: EnvironmentView, options: OwnDataOptions, visitor: Visitor, level: str
) -> None:
    play_product(view, options, visitor, {"key": "", "level": level})
    assert visitor.step_count == visitor.opening_step_count == 3
    assert f"flights · {level}" in play_views.status_html(view, visitor)
    assert "scheduled → departed" in play_views.charts_html(view, visitor)
    follow_suggestions_to_the_end(view, visitor)
    assert visitor.last_observation["reward"] == 1.0
    assert "causes found" in play_views.result_html(view, visitor)


def test_episode_of_a_product_is_saved_but_not_in_the_address(
    view: EnvironmentView, options: OwnDataOptions, visitor: Visitor
) -> None:
    play_product(view, options, visitor, {"key": "", "level": "easy"})
    again = Visitor(ENVIRONMENT)
    assert again.restore_saved_episode(visitor.to_saved_json())
    assert again.last_observation == visitor.last_observation
    assert '"reset": ""' in unescape(_saved_episode_and_address_html(view, visitor))


def test_episode_of_a_product_is_named_in_the_list_and_followed_by_its_next_seed(
    view: EnvironmentView, options: OwnDataOptions, visitor: Visitor
) -> None:
    play_product(view, options, visitor, {"key": "", "level": "easy"})
    assert ">flights · easy</option>" in start_form_html(view, visitor)
    follow_suggestions_to_the_end(view, visitor)
    assert "Next episode: flights · easy<" in play_views.status_html(view, visitor)
    seed = visitor.reset["seed"]
    play.start_next_episode_or_ask(view, visitor)
    assert visitor.reset["difficulty"] == "easy"
    assert visitor.reset["seed"] == seed + 1
    assert not visitor.is_done


def test_product_is_played_where_the_server_takes_none_in_resets(
    view: EnvironmentView, visitor: Visitor
) -> None:
    asked: list[str] = []

    def connect() -> Any:
        asked.append("connect")
        return visitor.connect()

    play_product(
        view, OwnDataOptions(connect_for_products=connect), visitor, {"key": "", "level": "easy"}
    )
    assert asked == ["connect"]
    assert visitor.has_episode


def test_table_is_investigated_and_leaves_the_page_nowhere(
    view: EnvironmentView, options: OwnDataOptions, visitor: Visitor, uploaded: UploadedTable
) -> None:
    investigate(view, options, visitor, {"key": uploaded.key})
    assert visitor.is_private
    assert b"7,654,321" in play_views.charts_html(view, visitor).encode()
    assert "Your table" in play_views.status_html(view, visitor)
    follow_suggestions_to_the_end(view, visitor)
    assert visitor.last_observation["reward"] == 1.0
    assert "Save this rollout" not in play_views.status_html(view, visitor)
    saved = _saved_episode_and_address_html(view, visitor)
    assert 'data-private="yes"' in saved
    assert visitor.to_saved_json() == ""
    assert [form for form in FORMS if form in saved.encode()] == []
    with pytest.raises(gr.Error, match="not recorded"):
        play._create_recording(visitor)


def test_finished_investigation_shows_the_agreement_with_the_policy(
    view: EnvironmentView, options: OwnDataOptions, visitor: Visitor, uploaded: UploadedTable
) -> None:
    investigate(view, options, visitor, {"key": uploaded.key})
    follow_suggestions_to_the_end(view, visitor)
    (row,) = expected_rows_of(visitor)
    html = play_views.result_html(view, visitor)
    assert "<dt>Both</dt><dd>" in html
    assert "1 of 1 rows as the reporting policy" in html
    assert "You reported 1 row, the reporting policy 1; 1 in common; score 1.0000" in html
    investigate(view, options, visitor, {"key": uploaded.key})
    visitor.take_step({"classifications": [{**row, "date": "2024-04-01"}]})
    html = play_views.result_html(view, visitor)
    assert "<dt>Only player</dt><dd>2024-04-01" in html
    assert f"<dt>Only policy</dt><dd>{row['date']}" in html
    shown = html + play_views.charts_html(view, visitor)
    for text in ("causes found", "never read", "not reported", "looked up"):
        assert text not in shown
    assert "only in the policy&#x27;s report" in shown


def test_page_states_the_opening_calls_of_a_daily_table(
    view: EnvironmentView, options: OwnDataOptions, visitor: Visitor, uploaded: UploadedTable
) -> None:
    assert "(3 steps)" in start_form_html(view, visitor)
    visitor.may_read_data = False
    investigate(view, options, visitor, {"key": uploaded.key})
    assert "(2 steps)" in start_form_html(view, visitor)
    assert "Read the data (2 steps)" in play_views.charts_html(view, visitor)
    play._make_opening_calls(view, visitor, None)
    assert visitor.step_count == 2
    assert visitor.problem == ""


def test_unexpected_error_in_an_investigation_has_no_number(
    view: EnvironmentView,
    options: OwnDataOptions,
    visitor: Visitor,
    uploaded: UploadedTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    investigate(view, options, visitor, {"key": uploaded.key})
    session = visitor._client._session  # type: ignore[union-attr]

    def fail(_: object) -> None:
        raise ValueError("7654321")

    monkeypatch.setattr(session, "step", fail)
    with pytest.raises(RuntimeError) as error:
        visitor.call_tool("list_dates", {})
    assert str(error.value) == "ValueError"


@pytest.mark.parametrize("value", [None, "", "[]", '{"key": "unknown", "level": "easy"}', "{}"])
def test_unknown_table_is_refused(
    view: EnvironmentView, options: OwnDataOptions, visitor: Visitor, value: object
) -> None:
    for handler in (your_data._play_product_or_ask, your_data._investigate_table_or_ask):
        with pytest.raises(ConfigurationError, match="no longer on this server"):
            handler(view, options, visitor, your_data._parse_choice(value))
    assert not visitor.has_episode


def test_tab_without_imports_has_the_example_and_the_commands(view: EnvironmentView) -> None:
    html = your_data_html(view, may_import=False)
    assert 'type="file"' not in html
    assert "metric-tracker import" in html
    assert html.count('data-mt="play_product"') == 4
    assert 'type="file"' in your_data_html(view, may_import=True)


def test_environment_without_imports_names_the_one_that_has_them() -> None:
    other = get_environment_view_or_default(get_environment("firewatch"))
    assert read_example_product(other) is None
    assert "makes no tasks from tables" in your_data_html(other, may_import=True)


def test_table_survives_the_conversion_to_json(uploaded: UploadedTable) -> None:
    assert uploaded.table is not None
    content = convert_table_to_json(uploaded.table)
    again = convert_json_to_table(json.loads(json.dumps(content)))
    assert convert_table_to_json(again) == content
    assert again.stage_counts.counts.tolist() == uploaded.table.stage_counts.counts.tolist()


@pytest.mark.parametrize("level", ["easy", "expert"])
def test_draft_rows_of_a_product_equal_its_expected_rows(
    view: EnvironmentView, options: OwnDataOptions, visitor: Visitor, level: str
) -> None:
    play_product(view, options, visitor, {"key": "", "level": level})
    columns = read_funnel(visitor.playback_steps[0].observation["config"]).columns
    expected = expected_rows_of(visitor)
    for row in expected:
        visitor.call_tool("rows_for_date", {"date": row["date"]})
        column = columns.get_column_of_entity(row["entity_type"], row["entity_name"])
        play._draft_row(view, visitor, f"{column}/{row['date']}")
    assert visitor.report_rows == expected
