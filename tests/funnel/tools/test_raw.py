"""Raw disclosure: no verdicts in replies, in either profile."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from metric_tracker_rl.analysis_tools import ANALYSIS_TOOLS_BY_MODE, TOOLS
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import get_policy
from openenv_kit.environment import Reply
from openenv_kit.rollouts.run_policy import run_policy
from research.transcript import build_transcript
from support.funnel_episodes import analyse, perfect_report, running_episode, started, submit
from support.label_changes import CONFIGS

PROFILES = ("standard", "lean")
RAW = {"disclosure": "raw"}
NAMES = {
    "standard": [
        *("task_overview", "hourly_rows_for_date", "list_dates", "list_entities"),
        *("rows_for_date", "show_raw_data", "list_calendar", "get_metric_median"),
        "submit_solution",
    ],
    "lean": ["overview", "day", "hours", "calendar", "submit"],
}
FORBIDDEN = {
    *("severity", "anomaly_type", "detection_method", "delta_value", "relative_deviation"),
    *("suspicion_score", "max_rate_delta", "max_count_delta_pct", "hourly_mix_delta_pct"),
    *("funnel_candidate_count", "impossible_issue_count", "issue_count", "total_excess"),
    *("issues", "candidates", "excess", "generated_rows", "match_count", "details", "difference"),
    *("std_dev_from_median", "threshold_value", "reporting_threshold", "id", "change", "next"),
    *("anomalies", "causes", "draws", "seed", "actual_value", "pre_applied_value", "target_value"),
    *("submission_preview", "submission_issues", "reward_breakdown", "debug", "expected_rows"),
}
"""Fields that a raw reply must never carry, whichever tool it is of."""
UNREAD = ("available_methods", "arguments")
SHIFTS = EpisodeConfig(5, "hourly_traffic_mix_shift", "hard", "low", 5)
EXPERT = EpisodeConfig(3, "mixed", "expert", "high", 6)
VARIED = EpisodeConfig(3, "mixed", "hard", "low", 5, policy="varied")


def calls(episode: FunnelEpisode, profile: str) -> list[tuple[str, dict[str, Any]]]:
    """Calls of every tool that looks, on every date."""
    dates, funnel = list(episode.dates), episode.config.funnel_with_policy_daytime
    rules = PlayRules(profile=profile, disclosure="raw")
    if profile == "lean":
        return [
            ("overview", {}),
            ("overview", {"details": True}),
            *(("day", {"dates": dates[at : at + 28]}) for at in range(0, len(dates), 28)),
            *(("hours", {"dates": dates[at : at + 7]}) for at in range(0, len(dates), 7)),
            ("calendar", {}),
        ]
    found: list[tuple[str, dict[str, Any]]] = []
    for name, tool in ANALYSIS_TOOLS_BY_MODE["standard", "raw"].items():
        dated = "date" in tool.arguments_type.model_fields
        found += [(name, {"date": date} if dated else {}) for date in (dates if dated else [""])]
    assert {name for name, _ in found} == set(ANALYSIS_TOOLS_BY_MODE[rules.profile, "raw"])
    found += [("get_metric_median", {"metric_name": name}) for name in funnel.count_and_rate_names]
    found.append(("task_overview", {"details": True}))
    return [*found, ("show_raw_data", {"granularity": "hourly", "limit": 1000})]


def replies(episode: FunnelEpisode, profile: str, disclosure: str = "raw") -> list[Reply]:
    """The opening, and what every call is answered."""
    session = EpisodeSession()
    rules = PlayRules(500, profile=profile, disclosure=disclosure)
    opening = session.start_episode_from_view("task", EpisodeView(episode, rules))
    answers = [analyse(session, name, **arguments) for name, arguments in calls(episode, profile)]
    assert {each.status for each in answers} == {"analyzed"}
    return [opening, *answers]


def fields_within(value: Any) -> Iterator[str]:
    """Every name in a reply: of fields, and of columns."""
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, dict):
        columns = json.dumps(value.get("columns", []))
        yield from (name for name in FORBIDDEN if f'"{name}"' in columns)
        for name, each in value.items():
            yield name
            # Schemas are the same in every episode, and arguments are the player's own.
            yield from fields_within(each) if name not in UNREAD else ()
    elif isinstance(value, list | tuple):
        for each in value:
            yield from fields_within(each)


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_raw_replies_contain_no_verdict_fields(profile: str) -> None:
    for config in (CONFIGS[3], EXPERT):
        for reply in replies(build_episode(config), profile):
            assert not FORBIDDEN & set(fields_within(reply.observation_fields)), (
                reply.observation_fields
            )


def test_guided_replies_contain_verdict_fields() -> None:
    session = started(task_id="hard_mixed_multi")
    date = running_episode(session).expected_rows[0].date
    found: set[str] = set()
    for name, tool in TOOLS.items():
        asked = {"date": date} if "date" in tool.arguments_type.model_fields else {}
        asked |= {"entity_name": "app_opens"} if name == "compare_count_to_median" else {}
        asked |= {"threshold_multiplier": 0} if name.endswith("_rows") else {}
        found |= set(fields_within(analyse(session, name, **asked).observation_fields))
    assert len(found & FORBIDDEN) > 15


def other_thresholds(episode: FunnelEpisode) -> FunnelEpisode:
    """The same data under thresholds ten times as high."""
    level = episode.config.level_with_policy_parameters
    names = ("count_threshold", "rate_threshold", "break_threshold", "mix_threshold")
    higher = dataclasses.replace(level, **{name: 10 * getattr(level, name) for name in names})
    series = DailySeries(
        episode.generated.hourly, episode.config.funnel_with_policy_daytime, higher
    )
    return dataclasses.replace(episode, series=series)


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_raw_replies_do_not_depend_on_thresholds(profile: str) -> None:
    episode = build_episode(SHIFTS)
    assert replies(episode, profile) == replies(other_thresholds(episode), profile)


def test_guided_replies_depend_on_thresholds() -> None:
    episode = build_episode(SHIFTS)
    guided = []
    for each in (episode, other_thresholds(episode)):
        session = EpisodeSession()
        session.start_episode_from_view("task", EpisodeView(each))
        date = episode.expected_rows[0].date
        guided.append(analyse(session, "hourly_rows_for_date", date=date))
    assert guided[0] != guided[1]


@pytest.mark.parametrize("profile", PROFILES)
def test_reference_scores_one_in_raw_disclosure(profile: str) -> None:
    none = EpisodeConfig(9, "mixed", "medium", "low", 0)
    for episode in map(build_episode, (*CONFIGS, EXPERT, none)):
        session = EpisodeSession()
        view = EpisodeView(episode, PlayRules(profile=profile, disclosure="raw"))
        outcome = run_policy(
            session, get_policy("reference"), session.start_episode_from_view("custom", view)
        )
        assert outcome.score == 1.0, episode.config


@pytest.mark.parametrize("profile", PROFILES)
def test_family_density_and_count_are_hidden_of_every_episode(profile: str) -> None:
    anomalies = [{"metric_name": "app_opens", "date": "2022-05-13", "stddev_factor": 20.0}]
    for reset in ({"task_id": "hard_mixed_multi"}, {"seed": 11, "anomalies": anomalies}):
        opening = EpisodeSession().reset(**reset, **RAW, profile=profile)
        content = opening.observation_fields
        names = ("scenario_family", "anomaly_density", "anomaly_count")
        assert {content["config"][name] for name in names} == {"hidden"}
        assert content["config"]["disclosure"] == "raw"
        assert content["expected_row_count"] is None
        assert not {"available_tasks", "applied_synthetic_generators"} & set(content)
    session = started(task_id="hard_mixed_multi", **RAW, max_submissions=2)
    rows = perfect_report(session)
    practice = submit(session, rows[:1])
    assert practice.message.startswith("Practice submission 1 of 2: 1 rows matched.")
    counts = practice.observation_fields["reward_breakdown"]
    assert (counts.matched_rows, counts.expected_rows, counts.missing_rows) == (1, 0, 0)
    final = submit(session, rows)
    assert final.observation_fields["expected_row_count"] == len(rows), "told once it is over"


def test_a_report_is_given_by_rows_in_either_profile() -> None:
    task = {"task_id": "hard_mixed_multi", **RAW}
    for profile in PROFILES:
        session = started(**task, profile=profile)
        assert submit(session, perfect_report(session)).reward == 1.0
    session = started(**task, profile="lean")
    refused = analyse(session, "submit", ids=[1])
    assert "'rows' is required" in refused.message
    assert analyse(session, "submit", rows=perfect_report(session)).reward == 1.0


# Doors


@pytest.mark.parametrize("profile", PROFILES)
def test_transcript_of_raw_episode_contains_the_rules(profile: str) -> None:
    reset = {"task_id": "hard_mixed_multi", "profile": profile, **RAW}
    brief, tools, opening, *turns = build_transcript(ENVIRONMENT, get_policy("reference"), reset)
    assert "compute it from these values" in brief
    assert "delta_value" in tools
    assert "Severity (medium, high, critical from)" in opening
    assert json.loads(turns[-1])["message"].startswith("Score 1.0000")
