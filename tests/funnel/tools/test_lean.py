"""The lean profile: pages of candidates and reports by id."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.episode.flagged_series import list_flagged_series_by_id
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import get_policy
from metric_tracker_rl.policies.lean_reference import scan_flagged_series_and_submit_root_ids
from openenv_kit.rollouts.run_policy import RolloutResult, run_policy
from research.tokens import count_tokens
from research.transcript import build_transcript
from support.funnel_episodes import analyse, perfect_report, running_episode, small_sample, started
from support.label_changes import CONFIGS


def flagged(of: FunnelEpisode) -> list[ReportRow]:
    return [each.row for each in list_flagged_series_by_id(of)]


LEAN = {"profile": "lean"}
RULES = PlayRules(profile="lean")
MOST_TOKENS = {"easy": 4000, "medium": 4000, "hard": 4000, "expert": 6000}
EVERYWHERE = [
    {"metric_name": name, "date": f"2022-05-{day:02d}", "stddev_factor": 20.0}
    for name in ("app_opens", "product_added_to_cart")
    for day in range(13, 26)
]
"""Custom anomalies that make 91 candidates, about as many as there can be."""


def lean(episode: FunnelEpisode) -> EpisodeSession:
    session = EpisodeSession()
    session.start_episode_from_view("custom", EpisodeView(episode, RULES))
    return session


def played(session: EpisodeSession, policy: str = "reference") -> RolloutResult:
    assert session.view is not None
    return run_policy(
        session, get_policy(policy), session.start_episode_from_view("custom", session.view)
    )


def ids_of(session: EpisodeSession) -> list[list[Any]]:
    """Date, name, id and change of every candidate on the first page."""
    rows = analyse(session, "scan").observation_fields["analysis_result"]["result"]["rows"]
    return [[date, *each] for date, found in rows for each in found]


def result_of(session: EpisodeSession, method: str, **arguments: Any) -> Any:
    reply = analyse(session, method, **arguments)
    assert reply.status == "analyzed", reply.message
    return reply.observation_fields["analysis_result"]["result"]


@pytest.mark.slow
def test_the_reference_scores_one_on_every_level_and_family() -> None:
    for episode in small_sample(21):
        outcome = played(lean(episode))
        assert (outcome.score, outcome.step_count) == (1.0, 3), episode.config


@cache
def tokens_of(level: str, index: int) -> int:
    count = LEVELS[level].max_anomalies
    reset = {"difficulty": level, "seed": index, "scenario_family": "mixed", "anomaly_count": count}
    return count_tokens(build_transcript(ENVIRONMENT, get_policy("reference"), {**reset, **LEAN}))


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_the_reference_s_whole_episode_fits_with_as_many_anomalies_as_there_can_be(
    level: str,
) -> None:
    assert max(tokens_of(level, index) for index in range(4)) <= MOST_TOKENS[level]


def test_scan_continues_after_a_page_and_all_its_ids_can_be_submitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("metric_tracker_rl.analysis_tools.lean.MAX_CANDIDATES_PER_REPLY", 60)
    session = started(seed=11, anomalies=EVERYWHERE, **LEAN)
    running_episode(session).cached_results.clear()  # kept from longer pages
    first = result_of(session, "scan")
    assert sum(len(rows) for _, rows in first["rows"]) == 60
    assert first["next"] == 61
    unseen = analyse(session, "submit", ids=[61])
    assert "the id 61;" in unseen.message
    rest = result_of(session, "scan", first=first["next"])
    assert "next" not in rest
    last = rest["rows"][-1][1][-1][1]
    ids = [each[1] for page in (first, rest) for _, rows in page["rows"] for each in rows]
    assert ids == list(range(1, last + 1))
    assert analyse(session, "submit", ids=ids).done


@pytest.mark.parametrize("left", [0, 1])
def test_scan_continues_with_a_page_of_one_candidate(
    monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    session = started(seed=11, anomalies=EVERYWHERE, **LEAN)
    every = len(list_flagged_series_by_id(running_episode(session)))
    monkeypatch.setattr(
        "metric_tracker_rl.analysis_tools.lean.MAX_CANDIDATES_PER_REPLY", every - left
    )
    running_episode(session).cached_results.clear()  # kept from other pages
    first = result_of(session, "scan")
    assert first.get("next") == (every if left else None)
    rest = result_of(session, "scan", first=every)
    assert [each[1] for _, rows in rest["rows"] for each in rows] == [every]
    assert "next" not in rest


def test_submitted_id_equals_the_row_of_the_row_generators() -> None:
    for config in CONFIGS:
        episode = build_episode(config)
        session = lean(episode)
        keys = {(row.date, row.entity_name): row for row in episode.expected_rows}
        listed = {(date, name): number for date, name, number, _ in ids_of(session)}
        assert keys.keys() <= listed.keys()
        assert analyse(session, "submit", ids=[listed[key] for key in keys]).reward == 1.0


def test_submission_with_id_not_shown_is_rejected_and_not_graded() -> None:
    session = started(task_id="easy_single_spike", **LEAN)
    blind = analyse(session, "submit", ids=[1])
    assert blind.status == "error"
    assert "the id 1;" in blind.message
    assert "Nothing was graded" in blind.message
    number = ids_of(session)[-1][2]
    beyond = analyse(session, "submit", ids=[number + 1])
    assert beyond.message == blind.message.replace("id 1;", f"id {number + 1};")
    assert not session.done
    session.reset(task_id="easy_single_spike", **LEAN)
    assert analyse(session, "submit", ids=[1]).status == "error", "shown in another play"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "'ids' is required"),
        ({"ids": ["1"]}, "ids.0 is '1'"),
        ({"ids": [True]}, "ids.0 is True"),
        ({"ids": [0]}, "ids.0 is 0; allowed: an integer of at least 1."),
        ({"ids": [], "row": []}, "did you mean 'rows'"),
    ],
)
def test_a_submission_of_another_form_is_refused(arguments: dict[str, Any], said: str) -> None:
    session = started(**LEAN)
    reply = analyse(session, "submit", **arguments)
    assert (reply.status, reply.done) == ("error", False)
    assert said in reply.message


def test_a_report_may_be_given_by_row_or_by_both_or_be_empty() -> None:
    session = started(task_id="hard_mixed_multi", **LEAN)
    rows = perfect_report(session)
    listed = {(date, name): number for date, name, number, _ in ids_of(session)}
    half = [listed[row["date"], row["entity_name"]] for row in rows[:2]]
    assert analyse(session, "submit", ids=half, rows=rows[2:]).reward == 1.0
    again = started(task_id="hard_mixed_multi", **LEAN)
    assert again.step({"classifications": rows}).reward == 1.0
    twice = started(task_id="hard_mixed_multi", **LEAN)
    ids_of(twice)
    assert "2 repeated" in analyse(twice, "submit", ids=[*half, *half], rows=[]).message
    assert analyse(started(anomaly_count=0, **LEAN), "submit", ids=[]).reward == 1.0


def test_scan_lists_the_name_before_the_id_as_its_columns_say() -> None:
    result = result_of(started(task_id="easy_single_spike", **LEAN), "scan")
    assert result["columns"] == ["date", ["name", "id", "change"]]
    rows = [row for _, rows in result["rows"] for row in rows]
    assert rows
    assert all([type(value) for value in row] == [str, int, float] for row in rows)


def test_reference_reads_scan_by_column_names() -> None:
    steps = scan_flagged_series_and_submit_root_ids(started(**LEAN).view.public_config)  # type: ignore[union-attr]
    next(steps)
    page = {
        "columns": ["date", ["change", "id", "name"]],
        "rows": [["2025-01-09", [[0.5, 7, "app_opens"]]]],
    }
    calendar = {"columns": ["date", "title", "explains"], "rows": []}
    steps.send({"analysis_result": {"result": page}})
    submission = steps.send({"analysis_result": {"result": calendar}})
    assert submission["analysis_args"] == {"ids": [7]}


def test_overview_contains_the_policy_only_with_details() -> None:
    session = started(task_id="hard_mixed_multi", **LEAN)
    short, whole = result_of(session, "overview"), result_of(session, "overview", details=True)
    assert "policy" not in short
    assert whole["policy"] == session.view.reporting_policy_text  # type: ignore[union-attr]
    assert {name: whole[name] for name in short} == short
    assert short["rows"][0][0] == "app_opens"


# Doors


@pytest.mark.slow
def test_candidate_ids_of_a_date_are_in_uninformative_order() -> None:
    """In an order by name or by place in the funnel the first of each date was right too often."""
    right = first = 0
    for of in small_sample(3):
        expected = {row.key for row in of.expected_rows}
        days: dict[str, list[ReportRow]] = {}
        for row in flagged(of):
            days.setdefault(row.date, []).append(row)
        crowded = [rows for rows in days.values() if len(rows) > 3]
        right += sum(row.key in expected for rows in crowded for row in rows)
        first += sum(len(rows) for rows in crowded if rows[0].key in expected)
    assert right > 50
    assert 0.7 < first / right < 1.4
