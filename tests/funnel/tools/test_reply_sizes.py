"""Sizes of replies and of whole episodes, in bytes and tokens."""

from __future__ import annotations

from typing import Any

import pytest

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.analysis_tools.arguments import DEFAULT_ROWS_PER_REPLY
from metric_tracker_rl.analysis_tools.lean import MAX_CANDIDATES_PER_REPLY
from metric_tracker_rl.engine.definitions.anomaly_types import ROW_GENERATOR_NAMES
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import get_policy
from openenv_kit.environment import full_observation_from_reply
from openenv_kit.json_text import compact_json
from research.tokens import count_tokens
from research.transcript import build_transcript
from support.funnel_episodes import analyse, running_episode, started

LEAN = {"profile": "lean"}


EVERYWHERE = [
    {"metric_name": name, "date": f"2022-05-{day:02d}", "stddev_factor": 20.0}
    for name in ("app_opens", "product_added_to_cart")
    for day in range(13, 26)
]
"""Custom anomalies that make 91 candidates, about as many as there can be."""


def result_of(session: EpisodeSession, method: str, **arguments: Any) -> Any:
    reply = analyse(session, method, **arguments)
    assert reply.status == "analyzed", reply.message
    return reply.observation_fields["analysis_result"]["result"]


MOST_BYTES = 8000
MOST_TOKENS = 9000
EVERYTHING = [{"method_name": name, "threshold_multiplier": 0} for name in ROW_GENERATOR_NAMES]
CUSTOM = {"method_name": "metric_stddev_shift", "stddev_factor": 20.0}
STAGES = ("app_opens", "product_added_to_cart")
GENERATING = [f"get_{name}_rows" for name in ROW_GENERATOR_NAMES]
BY_LIMIT = ("get_median_filter_rows", "payload_generator")


@pytest.fixture(scope="module")
def flagged() -> EpisodeSession:
    """An episode in which far more is flagged than a page holds."""
    opened = started(difficulty="expert", seed=4, scenario_family="mixed", max_steps=500)
    dates = analyse(opened, "list_dates").observation_fields["analysis_result"]["result"]["dates"]
    anomalies = [{**CUSTOM, "metric_name": name, "dates": dates[20:40]} for name in STAGES]
    asked = {"difficulty": "expert", "seed": 4, "scenario_family": "mixed", "max_steps": 500}
    return started(**asked, anomalies=anomalies)


def arguments_of(name: str, date: str) -> dict[str, Any]:
    """The arguments that ask for most, and for no number of rows."""
    given: dict[str, dict[str, Any]] = {
        "payload_generator": {"generator_methods": EVERYTHING},
        "compare_rate_to_median": {"date": date, "entity_name": "app_open_to_menu_open"},
        "compare_count_to_median": {"date": date, "entity_name": "app_opens"},
        "get_rows_with_abs_diff_from_median_gt": {"threshold": 0},
        "preview_submission": {"rows": []},
    }
    fields = TOOLS[name].arguments_type.model_fields
    own = {"date": date} if "date" in fields else {}
    return given.get(name, {**own, **({"threshold_multiplier": 0} if name in GENERATING else {})})


def answer_to(session: EpisodeSession, name: str, **arguments: Any) -> dict[str, Any]:
    date = running_date(session)
    reply = analyse(session, name, **{**arguments_of(name, date), **arguments})
    assert reply.status == "analyzed", reply.message
    answer = ENVIRONMENT.tools.format_tool_result(
        full_observation_from_reply(ENVIRONMENT, reply, session.task_id)
    )
    assert len(compact_json(answer)) > 50
    return answer


def running_date(session: EpisodeSession) -> str:
    assert session.view is not None
    return session.view.episode.dates[21]


@pytest.mark.parametrize("name", TOOLS)
def test_reply_without_a_row_limit_is_at_most_8_kb(flagged: EpisodeSession, name: str) -> None:
    assert len(compact_json(answer_to(flagged, name))) <= MOST_BYTES


@pytest.mark.parametrize("name", BY_LIMIT)
def test_page_contains_the_first_rows_and_the_total_count(
    flagged: EpisodeSession, name: str
) -> None:
    page = answer_to(flagged, name)["result"]
    whole = answer_to(flagged, name, limit=1000)["result"]
    count = page.get("match_count", page.get("generated_row_count"))
    assert (
        len(page["generated_rows"])
        == DEFAULT_ROWS_PER_REPLY
        < count
        == len(whole["generated_rows"])
    )
    assert whole["generated_rows"][:DEFAULT_ROWS_PER_REPLY] == page["generated_rows"]


def test_a_page_of_differences_is_filled_metric_by_metric_and_counts_all(
    flagged: EpisodeSession,
) -> None:
    name = "get_rows_with_abs_diff_from_median_gt"
    page, whole = (answer_to(flagged, name, limit=most)["result"] for most in (70, 1000))
    counts = [each["match_count"] for each in whole["results"]]
    assert counts == [len(each["rows"]) for each in whole["results"]]
    assert counts == [each["match_count"] for each in page["results"]]
    rows = [row for each in page["results"] for row in each["rows"]]
    assert rows == [row for each in whole["results"] for row in each["rows"]][:70]


@pytest.mark.parametrize("name", [*GENERATING, "payload_generator"])
def test_details_are_returned_on_request(flagged: EpisodeSession, name: str) -> None:
    assert answer_to(flagged, name)["result"]["details"] == []
    assert answer_to(flagged, name, details=True)["result"]["details"]


def test_suspicious_dates_continue_after_a_page(flagged: EpisodeSession) -> None:
    name = "list_suspicious_dates"
    whole = answer_to(flagged, name, limit=1000)["result"]["dates"]
    assert answer_to(flagged, name)["result"]["dates"] == whole[:10]
    assert answer_to(flagged, name, limit=5, offset=50)["result"]["dates"] == whole[50:55]
    assert answer_to(flagged, name, offset=len(whole))["result"]["dates"] == []


def test_overview_result_omits_what_the_model_already_has(flagged: EpisodeSession) -> None:
    observation = full_observation_from_reply(
        ENVIRONMENT, analyse(flagged, "task_overview"), flagged.task_id
    )
    seen = observation["analysis_result"]["result"]
    result = answer_to(flagged, "task_overview")["result"]
    assert set(seen) - set(result) == {"instruction", "dates", "entities", "available_methods"}
    assert result == {name: seen[name] for name in result}
    assert set(answer_to(flagged, "task_overview", details=True)["result"]) > set(seen)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("family", ["mixed", "instrumentation_data_quality_issue"])
def test_the_reference_s_whole_episode_takes_at_most_nine_thousand_tokens(
    family: str, level: str
) -> None:
    reset = {"difficulty": level, "seed": 3, "scenario_family": family, "anomaly_count": 5}
    played = build_transcript(ENVIRONMENT, get_policy("reference"), reset)
    assert count_tokens(played) <= MOST_TOKENS


def test_no_reply_is_longer_than_eight_kilobytes() -> None:
    mixed = {"difficulty": "expert", "seed": 3, "scenario_family": "mixed", "anomaly_count": 12}
    for running in (started(**mixed, **LEAN), started(seed=11, anomalies=EVERYWHERE, **LEAN)):
        dates = list(running_episode(running).dates)
        sizes = [
            len(compact_json(result_of(running, *call[:1], **call[1])))
            for call in (
                ("overview", {"details": True}),
                ("scan", {}),
                ("day", {"dates": dates[:28]}),
                ("hours", {"dates": dates[:7]}),
                ("calendar", {}),
            )
        ]
        assert max(sizes) <= MOST_BYTES, sizes
    names = [
        name for _, name in running_episode(running).config.funnel_with_policy_daytime.entities
    ]
    longest = max(len(compact_json([999, name, -0.999])) + 1 for name in names)
    assert (
        MAX_CANDIDATES_PER_REPLY * longest + 56 * len(compact_json(["2024-01-01", []]))
        <= MOST_BYTES - 100
    )
