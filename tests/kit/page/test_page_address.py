"""Page addresses: new visits, links and saved episodes."""

from __future__ import annotations

import json

import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.environment import get_environment
from openenv_kit.page.components.playback_html import convert_playback_to_recording_jsonl
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.page_address import (
    build_query_parameters_of_reset,
    choose_reset_of_same_level,
    restore_or_start_episode_on_page_load,
)
from openenv_kit.page.playback import (
    create_playback_of_policy,
    create_playback_that_checks_recording,
)
from openenv_kit.page.visitor import ConfirmationRequired, Visitor
from openenv_kit.recordings.format import RecordingError, parse_runs_until_error

SCENES = get_environment_view_or_default(ENVIRONMENT)


def sent(query: dict[str, str] | None = None, kept: str = "", linked: str = "") -> str:
    return json.dumps({"query": query or {}, "kept": kept, "linked": linked})


def arrived(text: object) -> Visitor:
    visitor = Visitor(ENVIRONMENT)
    restore_or_start_episode_on_page_load(SCENES, visitor, text)
    assert visitor.is_page_loaded
    return visitor


def test_a_link_leads_to_its_episode_and_place() -> None:
    visitor = arrived(sent({"task": "medium_mixed_pair", "seed": "7", "__theme": "dark"}))
    assert visitor.reset == {
        **ENVIRONMENT.reset_arguments_by_task_id["medium_mixed_pair"],
        "seed": 7,
    }
    address = build_query_parameters_of_reset(ENVIRONMENT.name, visitor.reset)
    again = arrived(sent({**address, "place": "0/2022-05-20"}))
    assert (again.reset, again.selection) == (visitor.reset, "0/2022-05-20")
    custom = arrived(sent({"reset": '{"difficulty":"hard","anomaly_count":2}'}))
    assert custom.reset == {"difficulty": "hard", "anomaly_count": 2}
    assert (
        build_query_parameters_of_reset("x", custom.reset)["reset"]
        == '{"difficulty":"hard","anomaly_count":2}'
    )


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "[", "3", "[]", "{}", '{"query": 3, "kept": 4}', sent({"place": "x"})),
        *(sent({"reset": "{{{"}), sent({"step": "9" * 99}), sent(kept="nothing")),
        *(sent({"reset": '{"self": 1}'}), sent({"task": "hard_mixed_mutli"})),
    ],
)
def test_page_with_any_other_address_shows_the_first_screen(text: object) -> None:
    visitor = arrived(text)
    assert not visitor.has_episode
    assert ("hard_mixed_multi" in visitor.problem) is ("mutli" in str(text))


def test_episode_of_the_same_level_is_the_same_named_task_with_another_seed() -> None:
    named = arrived(sent({"task": "easy_single_spike"}))
    assert choose_reset_of_same_level(named) == {**named.reset, "seed": named.reset["seed"] + 1}
    custom = arrived(sent({"reset": '{"difficulty":"hard","seed":2}'}))
    assert choose_reset_of_same_level(custom) is None


def test_a_link_to_another_episode_is_a_question_while_one_runs() -> None:
    one = arrived(sent({"task": "hard_mixed_multi"}))
    one.call_tool("list_dates", {})
    here = build_query_parameters_of_reset(ENVIRONMENT.name, one.reset)
    two = arrived(sent(here, one.to_saved_json()))
    assert (two.step_count, two.pending_confirmation) == (4, None)
    other = Visitor(ENVIRONMENT)
    with pytest.raises(ConfirmationRequired) as asked:
        restore_or_start_episode_on_page_load(
            SCENES, other, sent({"task": "medium_mixed_pair"}, one.to_saved_json())
        )
    assert (other.step_count, other.task_id) == (4, "hard_mixed_multi")
    asked.value.on_confirm(other)
    assert (other.step_count, other.task_id) == (3, "medium_mixed_pair")


def linked_play(visitor: Visitor) -> str:
    saved = json.loads(visitor.to_saved_json())
    return json.dumps({name: saved[name] for name in ("reset", "actions", "opening")})


def test_a_link_to_a_play_opens_it_at_its_step_and_never_submits() -> None:
    one = arrived(sent({"task": "easy_single_spike"}))
    one.call_tool("list_dates", {})
    two = arrived(sent(linked=linked_play(one)))
    assert (two.step_count, two.reset) == (4, one.reset)
    one.take_step({"classifications": []})
    three = arrived(sent(linked=linked_play(one)))
    assert (three.step_count, three.is_done) == (4, False)


def test_a_link_to_another_play_is_a_question_while_one_runs() -> None:
    one = arrived(sent({"task": "easy_single_spike"}))
    one.call_tool("list_dates", {})
    earlier = linked_play(one)
    one.call_tool("list_entities", {})
    assert arrived(sent(kept=one.to_saved_json(), linked=earlier)).step_count == 5
    other = arrived(sent({"task": "hard_mixed_multi"}))
    visitor = Visitor(ENVIRONMENT)
    with pytest.raises(ConfirmationRequired, match="opens another one") as asked:
        restore_or_start_episode_on_page_load(
            SCENES, visitor, sent(kept=one.to_saved_json(), linked=linked_play(other))
        )
    assert visitor.step_count == 5
    asked.value.on_confirm(visitor)
    assert visitor.task_id == "hard_mixed_multi"


def test_damaged_link_to_a_play_is_ignored() -> None:
    one = arrived(sent({"task": "easy_single_spike"}))
    address = build_query_parameters_of_reset(ENVIRONMENT.name, one.reset)
    back = arrived(sent(address, one.to_saved_json()))
    assert back.pending_confirmation is None
    damaged = arrived(sent(address, one.to_saved_json(), linked="{"))
    assert damaged.step_count == one.step_count


def test_a_link_to_a_sealed_task_starts_nothing_without_a_click() -> None:
    visitor = Visitor(ENVIRONMENT)
    link = sent({"reset": '{"split": "sealed", "index": 0}'})
    with pytest.raises(ConfirmationRequired, match="sealed"):
        restore_or_start_episode_on_page_load(SCENES, visitor, link)
    assert not visitor.has_episode


def test_play_of_a_sealed_task_in_the_address_starts_nothing_without_a_click() -> None:
    visitor = Visitor(ENVIRONMENT)
    play = json.dumps({"reset": {"split": "sealed", "index": 0}, "actions": []})
    with pytest.raises(ConfirmationRequired, match="sealed"):
        restore_or_start_episode_on_page_load(SCENES, visitor, sent(linked=play))
    assert not visitor.has_episode
    assert not visitor.problem


def test_link_to_a_table_of_the_server_starts_nothing() -> None:
    visitor = arrived(sent({"reset": '{"table": "shop"}'}))
    assert not visitor.has_episode
    assert "Unknown reset argument 'table'" in visitor.problem


def test_a_recording_is_opened_in_its_own_environment_alone() -> None:
    policy = ENVIRONMENT.policies["null"]
    playback = create_playback_of_policy(policy, {"task_id": "easy_single_spike"}, ENVIRONMENT)
    (run,), _ = parse_runs_until_error(convert_playback_to_recording_jsonl(playback))
    for name in ("firewatch", "drilldown"):
        other = get_environment_view_or_default(get_environment(name))
        with pytest.raises(RecordingError, match="It is one of Metric Tracker RL: open it there"):
            create_playback_that_checks_recording(run, other.environment)
