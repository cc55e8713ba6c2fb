"""Drawn reporting policies: parameters, texts, labels and certificates."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Iterator
from functools import cache
from itertools import product
from statistics import median
from typing import Any

import numpy as np
import pytest

from metric_tracker_rl.engine.certification.certify import certify_episode, iter_configurations
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.levels import (
    DEFAULT_SEVERITY_BOUNDS,
    LEVELS,
    FunnelLevel,
)
from metric_tracker_rl.engine.definitions.names import (
    BASELINES,
    DISCLOSURES,
    LEAK_REPORTS,
    PROFILES,
)
from metric_tracker_rl.engine.definitions.thresholds import GUARD_BAND
from metric_tracker_rl.engine.episode.episode import build_episode
from metric_tracker_rl.engine.episode.episode_view import DRAWN_POLICY_HEADING
from metric_tracker_rl.engine.generation.generate import generate_episode
from metric_tracker_rl.engine.reporting_policy import clauses, drawn_policies
from metric_tracker_rl.engine.reporting_policy.clauses_for_ids import CLAUSES_FOR_IDS
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries, compute_deviations
from metric_tracker_rl.engine.reporting_policy.labels import compute_expected_rows
from metric_tracker_rl.engine.reporting_policy.policy_text import format_policy_text
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.environment import full_observation_from_reply
from support.command_line import run_cli
from support.funnel_episodes import analyse, running_episode, started

VARIED = {"policy": "varied"}
MODES = list(product(PROFILES, DISCLOSURES))
WEEKLY = "same_weekday_median"


def varied(config: EpisodeConfig) -> EpisodeConfig:
    return dataclasses.replace(config, policy="varied")


@cache
def drawn(count: int = 200) -> tuple[EpisodeConfig, ...]:
    """Configurations of every level, whose policies are drawn and whose data are not."""
    return tuple(
        EpisodeConfig(seed, "mixed", level, policy="varied")
        for seed, level in product(range(count), LEVELS)
    )


def first_with(**wanted: Any) -> EpisodeConfig:
    """The first configuration whose level has these parameters."""
    return next(
        config
        for config in drawn()
        if all(
            getattr(config.level_with_policy_parameters, name) == value
            for name, value in wanted.items()
        )
    )


@pytest.mark.slow
def test_every_policy_parameter_takes_every_value() -> None:
    for name, usual in LEVELS.items():
        levels = [each.level_with_policy_parameters for each in drawn() if each.difficulty == name]
        assert {each.count_threshold for each in levels} == {
            *drawn_policies.COUNT_THRESHOLD_CHOICES[name]
        }
        assert {each.rate_threshold for each in levels} == {
            *drawn_policies.RATE_THRESHOLD_CHOICES[name]
        }
        assert {each.mix_threshold for each in levels} == {
            *drawn_policies.MIX_THRESHOLD_CHOICES[name]
        }
        assert {each.break_threshold for each in levels} == {
            *drawn_policies.BREAK_THRESHOLD_CHOICES
        }
        assert {each.baseline for each in levels} == {*BASELINES}
        assert {each.leak_reports for each in levels} == {*LEAK_REPORTS}
        thresholds = ("count_threshold", "rate_threshold", "mix_threshold", "break_threshold")
        for parameter in thresholds:
            assert getattr(usual, parameter) in {getattr(each, parameter) for each in levels}
        kept = {field.name for field in dataclasses.fields(FunnelLevel)} - {
            *(
                *thresholds,
                "bounds_by_kind",
                "baseline",
                "leak_reports",
                "wording",
                "has_drawn_policy",
            ),
        }
        assert all(getattr(each, one) == getattr(usual, one) for each in levels for one in kept)
    configs = drawn()
    assert {each.funnel_with_policy_daytime.daytime for each in configs} == {
        *drawn_policies.DAYTIME_CHOICES
    }
    assert {each.level_with_policy_parameters.bounds_by_kind.counts for each in configs} == {
        *drawn_policies.COUNT_BOUND_CHOICES
    }
    assert {each.level_with_policy_parameters.bounds_by_kind.rates for each in configs} == {
        *drawn_policies.RATE_BOUND_CHOICES
    }
    assert {each.level_with_policy_parameters.bounds_by_kind.share for each in configs} == {
        *drawn_policies.SHARE_BOUND_CHOICES
    }
    assert {each.level_with_policy_parameters.bounds_by_kind.excess for each in configs} == {
        *drawn_policies.EXCESS_BOUND_CHOICES
    }
    without_words = (
        dataclasses.replace(each.level_with_policy_parameters, wording=0) for each in configs
    )
    daytimes = (each.funnel_with_policy_daytime.daytime for each in configs)
    assert len(set(zip(without_words, daytimes, strict=True))) > 500


def test_standard_policy_is_the_default_and_can_be_drawn() -> None:
    usual = EpisodeConfig(3)
    assert usual.level_with_policy_parameters is LEVELS["easy"]
    assert usual.funnel_with_policy_daytime is ORDERING_APP
    assert "policy" not in usual.random_stream_key_json
    assert ORDERING_APP.daytime in drawn_policies.DAYTIME_CHOICES
    assert (
        next(
            zip(
                drawn_policies.COUNT_BOUND_CHOICES,
                drawn_policies.RATE_BOUND_CHOICES,
                drawn_policies.SHARE_BOUND_CHOICES,
                drawn_policies.EXCESS_BOUND_CHOICES,
                strict=True,
            )
        )
        == DEFAULT_SEVERITY_BOUNDS
    )
    named = EpisodeSession().reset(policy="standard")
    assert named.observation_fields == EpisodeSession().reset().observation_fields


# What is in force


def test_weekday_baseline_is_the_median_of_that_weekday_in_every_tool() -> None:
    config = first_with(baseline=WEEKLY)
    episode = build_episode(config)
    values, usual = episode.series.values, episode.series.baselines
    for day, column in product((0, 5, 27), (0, 4)):
        same = [float(values[each, column]) for each in range(day % 7, len(values), 7)]
        assert usual[day, column] == median(same)
    session = started(**arguments_of(config))
    reply = analyse(session, "get_metric_median", metric_name="app_opens")
    [found] = reply.observation_fields["analysis_result"]["result"]["results"]
    assert next(iter(found["weekday_medians"])) == "Monday"
    first = running_episode(session).dates[0]
    opening = EpisodeSession().reset(**arguments_of(config)).observation_fields["config"]
    assert found["weekday_medians"][opening["first_weekday"]] == usual[0, 0]
    compared = analyse(session, "compare_count_to_median", date=first, entity_name="app_opens")
    assert compared.observation_fields["analysis_result"]["result"]["baseline_value"] == usual[0, 0]
    plain = analyse(started(), "get_metric_median").observation_fields["analysis_result"]["result"]
    assert "weekday_medians" not in plain["results"][0]


def arguments_of(config: EpisodeConfig) -> dict[str, Any]:
    """Reset arguments that start a configuration."""
    return {
        "seed": config.seed,
        "scenario_family": config.scenario_family,
        "difficulty": config.difficulty,
        "anomaly_count": config.anomaly_count,
        "policy": config.policy,
    }


def test_daytime_share_uses_the_hours_of_the_policy() -> None:
    config = next(each for each in drawn() if each.funnel_with_policy_daytime.daytime == (10, 20))
    episode = build_episode(config)
    opens = episode.hourly_counts_of_day(3)[:, 0]
    share = round(float(opens[10:20].sum() / opens.sum()), 6)
    assert episode.series.values[3, -1] == share
    opening = EpisodeSession().reset(**arguments_of(config)).observation_fields
    assert opening["config"]["daytime_hours"] == [10, 19]
    assert "hours 10 to 19" in opening["instruction"]


def test_a_leak_is_reported_as_the_composite_that_the_policy_names() -> None:
    names = {
        config.level_with_policy_parameters.leak_reports: {
            row.entity_name
            for row in build_episode(config).expected_rows
            if row.entity_name in ORDERING_APP.composite_rate_names
        }
        for config in (
            next(
                each for each in leaks() if each.level_with_policy_parameters.leak_reports == first
            )
            for first in LEAK_REPORTS
        )
    }
    shortest, longest = ORDERING_APP.composite_rate_names
    assert names["longest_composite"] == {longest}
    assert shortest in names["shortest_composite"]


def leaks() -> Iterator[EpisodeConfig]:
    """Episodes of rate spikes with several leaks, which show in both composites."""
    for seed in range(60):
        config = EpisodeConfig(seed, "rate_spike_from_median", "easy", "low", 5, policy="varied")
        names = {row.entity_name for row in build_episode(config).expected_rows}
        if names & set(ORDERING_APP.composite_rate_names):
            yield config


def test_severity_follows_the_bands_of_the_episode() -> None:
    seen = set()
    for config in drawn()[:40]:
        episode = build_episode(config)
        for row in episode.expected_rows:
            bounds = config.level_with_policy_parameters.severity_bounds_by_entity_type[
                row.entity_type
            ]
            day = episode.day_by_date[row.date]
            column = config.funnel_with_policy_daytime.columns.get_column_of_entity(
                row.entity_type, row.entity_name
            )
            size = abs(episode.series.deviations_and_excess_by_day[day][column])
            place = sum(size >= bound for bound in bounds)
            assert row.severity == ("low", "medium", "high", "critical")[place]
            seen.add((row.severity, bounds))
    assert len(seen) > 20


@pytest.mark.slow
def test_labels_differ_under_another_policy() -> None:
    """Or following the policy that is told would be no better than following the usual one."""
    differing = 0
    for config in (dataclasses.replace(each, anomaly_count=5) for each in drawn()[:60]):
        episode = build_episode(config)
        usual, explained = LEVELS[config.difficulty], episode.series.explained
        series = DailySeries(episode.generated.hourly, ORDERING_APP, usual, explained)
        differing += compute_expected_rows(series, episode.dates) != episode.expected_rows
    assert differing > 50


# What is told


@pytest.mark.parametrize("seed", [328, 385])
def test_a_planned_day_is_clear_of_every_threshold_without_its_cause(seed: int) -> None:
    """Of these seeds the first draw has a planned day that would be near one, and is not taken."""
    config = EpisodeConfig(seed, "mixed", "hard", anomaly_count=4, policy="varied")
    draw = generate_episode(config)
    days = sorted({cause.day for cause in draw.planned_anomalies})
    clean = DailySeries(
        draw.clean, config.funnel_with_policy_daytime, config.level_with_policy_parameters, None
    )
    undone = compute_deviations(clean.values, draw.series.baselines)
    assert draw.attempts == 2
    assert (np.abs(undone[days]) < (1.0 - GUARD_BAND) * draw.series.thresholds).all()


def test_both_wordings_of_a_clause_state_the_same_numbers() -> None:
    all_clauses = [*clauses.CLAUSES, clauses.ROW_FIELDS_CLAUSE, clauses.CALENDAR_CLAUSE]
    for usual, otherwise in all_clauses:
        numbers = [
            sorted({name for _, name, _, _ in string.Formatter().parse(each) if name})
            for each in (usual, otherwise)
        ]
        assert usual != otherwise
        assert numbers[0] == numbers[1] or numbers == [["baseline"], ["baseline_otherwise"]]
    level = LEVELS["expert"]
    texts = {
        format_policy_text(ORDERING_APP, dataclasses.replace(level, wording=2**place))
        for place in range(len(all_clauses))
    }
    assert len(texts) == len(all_clauses)
    assert 2 ** len(all_clauses) == clauses.WORDING_COUNT


def test_reset_observation_states_every_policy_parameter() -> None:
    for config in drawn()[:24]:
        level, opening = (
            config.level_with_policy_parameters,
            EpisodeSession().reset(**arguments_of(config)).observation_fields,
        )
        stated, text = opening["config"], opening["instruction"]
        start, stop = config.funnel_with_policy_daytime.daytime
        assert DRAWN_POLICY_HEADING in text
        assert f"hours {start} to {stop - 1}" in text
        assert all(f"{each:.0%}" in text for each in (level.count_threshold, level.rate_threshold))
        assert f"drops by {level.break_threshold:.0%} or more" in text
        assert f"{level.mix_threshold:.2f}" in text
        assert ("weekday" in text) == (level.baseline == WEEKLY) == ("first_weekday" in stated)
        words = {"shortest_composite": "fewest", "longest_composite": "most"}
        assert f"the {words[level.leak_reports]} stages" in text
        for kind, bounds in level.severity_bounds_by_entity_type.items():
            assert ", ".join(f"{bound:g}" for bound in bounds) in text
            assert stated["severity_bands"][kind] == list(bounds)
        assert stated["policy"] == "varied"
        assert stated["policy_version"].endswith("+varied1")
        assert (stated["baseline"], stated["leak_reports"]) == (level.baseline, level.leak_reports)


def test_tool_descriptions_do_not_state_numbers_of_another_policy() -> None:
    usual, drawn_there = (
        {
            tool.name: tool.description
            for tool in ENVIRONMENT.tools.select_for_episode(episode).tools
        }
        for episode in ({}, VARIED)
    )
    assert usual.keys() == drawn_there.keys()
    changed = {name for name in usual if usual[name] != drawn_there[name]}
    assert changed == {"hourly_rows_for_date"}
    assert not any("hours 8" in description for description in drawn_there.values())
    opening = full_observation_from_reply(ENVIRONMENT, EpisodeSession().reset(**VARIED), "custom")
    listed = {each["name"]: each["description"] for each in opening["available_methods"]}
    assert listed.items() <= drawn_there.items()
    state = started(**VARIED).state().model_dump()
    first_message = ENVIRONMENT.tools.first_user_message(opening)
    introduction = ENVIRONMENT.tools.observation_from_messages(first_message, None)
    for episode in (opening, state, introduction):
        offered = ENVIRONMENT.tools.select_for_episode(episode).find_tool("hourly_rows_for_date")
        assert offered.description == drawn_there["hourly_rows_for_date"]


# Proofs


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_episodes_with_drawn_policies_are_certified(level: str) -> None:
    for baseline, leak in product(BASELINES, LEAK_REPORTS):
        config = next(
            each
            for each in drawn()
            if (
                each.difficulty,
                each.level_with_policy_parameters.baseline,
                each.level_with_policy_parameters.leak_reports,
            )
            == (level, baseline, leak)
        )
        assert certify_episode(dataclasses.replace(config, anomaly_count=5)).holds, config


def test_a_reference_that_keeps_to_the_usual_policy_is_not_certified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "metric_tracker_rl.engine.episode.episode_view.severity_bounds_to_lists",
        lambda _: {
            kind: list(of)
            for kind, of in DEFAULT_SEVERITY_BOUNDS.get_bounds_by_entity_type().items()
        },
    )
    config = EpisodeConfig(6, "mixed", "hard", "low", 5, policy="varied")
    assert not certify_episode(config).holds


def test_certify_command_accepts_drawn_policies() -> None:
    def run(*arguments: str) -> Any:
        command = ["certify", "--seeds", "1", "--difficulty", "easy", "--workers", "1"]
        return run_cli(*command, *arguments)

    assert "Unknown --reset 'polcy'. Did you mean 'policy'" in plain(run("--reset", "polcy=varied"))
    assert "Did you mean 'varied'" in plain(run("--reset", "policy=varid"))
    assert "allowed: NAME=VALUE" in plain(run("--reset", "policy"))
    units = list(iter_configurations(range(2), levels=["easy"], extra_reset_arguments=VARIED))
    assert len(units) == 50
    assert {unit.policy for unit in units} == {"varied"}


def plain(result: Any) -> str:
    """What a command said, without the frame around it."""
    return " ".join(result.output.replace("│", " ").split())


# Identity and doors


def test_drawn_policy_depends_on_seed_and_changes_the_identity() -> None:
    one, again, usual = (
        build_episode(EpisodeConfig(5, "mixed", "hard", policy=policy))
        for policy in ("varied", "varied", "standard")
    )
    assert one is again
    assert one.config.random_stream_key_json != usual.config.random_stream_key_json
    assert one.dates != usual.dates
    other = EpisodeConfig(6, "mixed", "hard", policy="varied")
    assert other.level_with_policy_parameters != one.config.level_with_policy_parameters
    assert started(**VARIED).build_episode_identity() != started().build_episode_identity()
    assert '"policy":"varied/1"' in started(**VARIED).build_episode_identity()["episode"]


def test_split_and_named_task_with_a_drawn_policy_keep_their_id_and_show_it_in_the_state() -> None:
    session = started(split="validation", index=2, **VARIED)
    assert session.task_id == "validation-2"
    assert session.state().policy == "varied"
    assert started().state().policy == "standard"
    named = started(task_id="easy_single_spike", **VARIED)
    assert named.task_id == "easy_single_spike"
    assert running_episode(named).config.policy == "varied"
    assert started(**VARIED).task_id == "custom"


def test_custom_anomalies_use_the_baseline_of_the_policy() -> None:
    config = first_with(baseline=WEEKLY)
    plain_play = running_episode(started(**arguments_of(config)))
    day = plain_play.dates[9]
    asked = {"metric_name": "app_opens", "date": day, "stddev_factor": 20.0, "direction": "up"}
    session = started(**arguments_of(config), anomalies=[asked])
    [applied] = running_episode(session).applied_anomalies
    assert applied["baseline_value"] == plain_play.series.baselines_by_day[9][0]
    assert day in {row.date for row in running_episode(session).expected_rows}


def test_clauses_for_ids_have_two_wordings_of_every_rule_and_no_parameter_that_scan_applied() -> (
    None
):
    assert len(CLAUSES_FOR_IDS) == len(clauses.CLAUSES)
    changed = [
        pair[1] for pair in zip(clauses.CLAUSES, CLAUSES_FOR_IDS, strict=True) if pair[0] != pair[1]
    ]
    assert len(changed) == 14
    for clause in filter(None, changed):
        assert clause.default != clause.alternative
    for wording in (0, clauses.WORDING_COUNT - 1):
        level = dataclasses.replace(LEVELS["expert"], wording=wording)
        text = format_policy_text(ORDERING_APP, level, is_for_report_of_ids=True)
        assert all(f"({rule})" in text for rule in range(1, 7))
        assert "%" not in text
        assert "{" not in text
        assert "calendar" in text
