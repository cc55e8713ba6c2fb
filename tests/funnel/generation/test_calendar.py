"""The calendar of the expert level explains deviations that are no anomalies."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.generation.generate import GeneratedEpisode, generate_episode
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.engine.reporting_policy.labels import compute_expected_rows
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from support.funnel_episodes import analyse, perfect_report, running_episode, started, submit

EXPERT = EpisodeConfig(3, "mixed", "expert", "high", 6)


ENTRY_FIELDS = ["date", "kind", "title", "explains"]


@cache
def expert_draws() -> tuple[tuple[EpisodeConfig, GeneratedEpisode], ...]:
    configs = [EpisodeConfig(seed, MIXED, "expert", "high", 5) for seed in range(12)]
    return tuple((config, generate_episode(config)) for config in configs)


def expert_session() -> EpisodeSession:
    return started(seed=3, scenario_family=MIXED, difficulty="expert", anomaly_count=5)


def listed(session: EpisodeSession) -> list[dict[str, Any]]:
    reply = analyse(session, "list_calendar")
    assert reply.status == "analyzed"
    events: list[dict[str, Any]] = reply.observation_fields["analysis_result"]["result"]["events"]
    return events


def test_the_tool_shows_what_is_public_of_each_entry_in_order_of_date() -> None:
    session = expert_session()
    events = listed(session)
    assert all(list(event) == ENTRY_FIELDS for event in events)
    dates = [event["date"] for event in events]
    assert dates == sorted(dates)
    assert set(dates) <= set(running_episode(session).dates)
    kinds = {event["kind"] for event in events}
    assert kinds == {"holiday", "promotion", "release_note", "late_data"}


def test_calendar_entry_explains_names_that_tools_use() -> None:
    funnel = running_episode(expert_session()).config.funnel_with_policy_daytime
    for _, draw in expert_draws():
        for entry in draw.calendar:
            assert set(entry.explains) <= {*funnel.count_and_rate_names, funnel.daytime_share_name}


def test_no_expected_row_is_what_the_calendar_explains() -> None:
    for config, draw in expert_draws():
        funnel = config.funnel_with_policy_daytime
        rates = dict(zip(funnel.funnel_step_names, funnel.step_rate_names, strict=True))
        known = {(draw.dates[e.day], name) for e in draw.calendar for name in e.explains}
        for row in draw.labels:
            assert (row.date, rates.get(row.entity_name, row.entity_name)) not in known


def test_leaving_out_every_date_of_the_calendar_loses_a_row() -> None:
    for _, draw in expert_draws():
        dates = {draw.dates[entry.day] for entry in draw.calendar}
        assert dates & {row.date for row in draw.labels}


def test_reporting_what_the_calendar_explains_costs_precision() -> None:
    session = expert_session()
    [holiday] = [event for event in listed(session) if event["kind"] == "holiday"]
    reply = analyse(
        session, "compare_count_to_median", date=holiday["date"], entity_name="app_opens"
    )
    shown = reply.observation_fields["analysis_result"]["result"]
    assert shown["anomaly_type"] == "absolute_drop_in_event_count"
    row = {name: shown[name] for name in perfect_report(session)[0]}
    graded = submit(session, [*perfect_report(session), row])
    assert graded.observation_fields["reward_breakdown"].extra_rows == 1
    assert graded.reward < 0.9


def test_expert_episode_has_eight_weeks_and_a_calendar_that_explains_decoys() -> None:
    draw = generate_episode(EXPERT)
    assert len(draw.dates) == 56
    kinds = {entry.kind for entry in draw.calendar}
    assert kinds == {"holiday", "promotion", "release_note", "late_data"}
    explained = {entry.day for entry in draw.calendar if entry.explains}
    labelled = {draw.dates.index(row.date) for row in draw.labels}
    assert not explained & labelled
    assert draw.calendar[-1].kind == "late_data"
    [empty] = [entry for entry in draw.calendar if not entry.explains]
    assert empty.day in labelled
    flagged = (abs(draw.series.deviations) >= draw.series.thresholds).any(axis=1)
    assert all(flagged[day] for day in explained)


def test_expert_episode_without_its_calendar_has_more_rows_on_dates_of_the_calendar() -> None:
    for config, draw in (*expert_draws(), (EXPERT, generate_episode(EXPERT))):
        blind = DailySeries(
            draw.hourly, config.funnel_with_policy_daytime, config.level_with_policy_parameters
        )
        labels = compute_expected_rows(blind, draw.dates)
        assert set(labels) > set(draw.labels)
        extra = {row.date for row in labels} - {row.date for row in draw.labels}
        assert extra
        assert extra <= {draw.dates[entry.day] for entry in draw.calendar}


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_level_without_a_calendar_lists_no_event_and_its_policy_mentions_none(
    difficulty: str,
) -> None:
    session = EpisodeSession()
    content = session.reset(difficulty=difficulty).observation_fields
    assert listed(session) == []
    assert "list_calendar" not in content["instruction"]
    assert content["config"]["policy_version"] == "1"


def test_expert_level_lists_its_calendar_and_its_policy_mentions_it() -> None:
    session = EpisodeSession()
    reply = session.reset(difficulty="expert", anomaly_count=3, scenario_family="mixed")
    assert "list_calendar" in reply.observation_fields["instruction"]
    assert reply.observation_fields["config"]["policy_version"] == "1+calendar"
    assert len(listed(session)) == 5
