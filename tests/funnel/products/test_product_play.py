"""Episodes of products in every mode of play: certificates, tools, observations and policies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metric_tracker_rl.engine.certification.certificate import certificate_from_dict
from metric_tracker_rl.engine.certification.certify import certify_episode, iter_configurations
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.modes import MODES, RAW_MODE, PlayMode
from metric_tracker_rl.engine.configuration.product_policy import (
    build_product_funnel,
    build_product_level,
)
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.episode.series_policy_numbers import rebuild_funnel_from_numbers
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.exploits import EXPLOITS
from metric_tracker_rl.exploits.raw import RAW_EXPLOITS
from metric_tracker_rl.policies import POLICIES, get_policy
from metric_tracker_rl.tools import CATALOGUE, select_tools_of_episode
from openenv_kit.environment import Reply
from openenv_kit.own_data.stage_counts import Grain
from openenv_kit.rollouts.run_policy import run_policy
from support.simulated_products import TableShape, build_product

SHAPES = {
    "two stages by hour": TableShape(2),
    "two stages by day, few events": TableShape(2, Grain.DAY, volume=60.0),
    "three stages by hour, few events": TableShape(3, volume=60.0),
    "three stages by day": TableShape(3, Grain.DAY),
    "four stages by hour": TableShape(4),
    "four stages by day, closed on weekends": TableShape(4, Grain.DAY, closed_weekdays=(5, 6)),
    "eight stages by hour": TableShape(8),
}
PLAYED_EXPLOITS = (
    *("report_flagged", "report_unexplained", "extreme_per_day", "extreme_rows"),
    *("threshold_sweep", "hill_climb", *RAW_EXPLOITS),
)
HOURLY_TOOLS = {"hourly_rows_for_date", "get_hourly_traffic_mix_shift_rows", "hours"}


def config_of_seed(shape: TableShape, level: str, seed: int) -> EpisodeConfig:
    product = build_product(shape)
    count = seed % (1 + min(5, build_product_level(product, level).max_anomalies))
    return EpisodeConfig(seed, MIXED, level, anomaly_count=count, product=product)


def start(shape: TableShape, mode: PlayMode, **arguments: Any) -> tuple[EpisodeSession, Reply]:
    session = EpisodeSession()
    reply = session.reset(
        product=build_product(shape).to_mapping(),
        profile=mode.profile.value,
        disclosure=mode.disclosure.value,
        **arguments,
    )
    assert reply.status == "ready", reply.message
    return session, reply


def certify_seeds(shape: TableShape, seeds: range) -> None:
    for level in LEVELS:
        for seed in seeds:
            certificate = certify_episode(config_of_seed(shape, level, seed))
            assert certificate.holds, certificate


@pytest.mark.parametrize("name", SHAPES)
def test_first_seeds_of_every_level_are_certified_in_every_mode(name: str) -> None:
    certify_seeds(SHAPES[name], range(1, 4))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_twenty_seeds_of_every_level_are_certified_in_every_mode(name: str) -> None:
    certify_seeds(SHAPES[name], range(20))


def test_certified_configurations_are_those_that_the_product_has() -> None:
    product = build_product(TableShape(2, Grain.DAY, volume=60.0))
    configs = list(
        iter_configurations([7], extra_reset_arguments={"product": product.to_mapping()})
    )
    assert {config.difficulty for config in configs} == set(LEVELS)
    for config in configs:
        assert config.scenario_family in (*product.levels[config.difficulty].families, MIXED)
    assert any(config.anomaly_count == 0 for config in configs)


def test_certificate_with_a_product_survives_json() -> None:
    certificate = certify_episode(config_of_seed(TableShape(2), "easy", 3))
    text = json.dumps(certificate.as_dict())
    assert certificate_from_dict(json.loads(text)) == certificate
    without = certify_episode(EpisodeConfig(3))
    assert "product" not in without.as_dict()["config"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SHAPES)
def test_reset_observation_has_names_in_order_and_thresholds_by_series(
    name: str, mode: PlayMode
) -> None:
    product = build_product(SHAPES[name])
    _, reply = start(SHAPES[name], mode, seed=5, difficulty="hard")
    config = json.loads(json.dumps(reply.observation_fields["config"]))
    assert config["product"] == config["funnel"] == product.name
    assert config["product_digest"] == product.digest
    assert config["product_format"] == config["twin_version"] == "1"
    assert config["policy_version"] == "1+series"
    assert config["stages"] == list(product.stages)
    assert config["step_rates"] == list(product.step_rate_names)
    assert list(config["composite_rates"]) == list(product.composite_rate_names)
    assert config["thresholds"] == product.thresholds_by_column
    assert config.get("daytime_share") == product.daytime_share_name
    assert rebuild_funnel_from_numbers(config) == build_product_funnel(product)


@pytest.mark.parametrize("mode", MODES)
def test_observation_of_the_built_in_funnel_has_no_names(mode: PlayMode) -> None:
    reply = EpisodeSession().reset(profile=mode.profile.value, disclosure=mode.disclosure.value)
    config = reply.observation_fields["config"]
    assert not {"product", "stages", "break_thresholds", "twin_version"} & config.keys()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SHAPES)
def test_tools_list_the_products_names_and_no_others(name: str, mode: PlayMode) -> None:
    product = build_product(SHAPES[name])
    session, reply = start(SHAPES[name], mode, seed=5)
    tools = select_tools_of_episode(reply.observation_fields)
    methods = {spec.name: spec.parameters for spec in reply.observation_fields["available_methods"]}
    assert set(methods) <= {tool.name for tool in tools}
    text = json.dumps([tool.as_chat_tool() for tool in tools]) + json.dumps(methods)
    assert "app_open" not in text
    assert "menu_open" not in text
    assert "8 to 19" not in text
    if "compare_count_to_median" in methods:
        schema = methods["compare_count_to_median"]["properties"]["entity_name"]
        assert schema["enum"] == list(product.stages)
    assert bool(HOURLY_TOOLS & methods.keys()) == product.is_hourly
    arguments = {"product": product, "profile": mode.profile, "disclosure": mode.disclosure}
    assert select_tools_of_episode(arguments) == tools
    assert session.view is not None


def test_two_products_of_one_name_do_not_share_tools() -> None:
    one, other = build_product(TableShape(2)), build_product(TableShape(3))
    shown = [
        [tool.parameters for tool in select_tools_of_episode({"product": product})]
        for product in (one, other)
    ]
    assert shown[0] != shown[1]


def test_daily_product_rejects_hourly_methods_and_raw_hours() -> None:
    session, _ = start(TableShape(3, Grain.DAY), PlayMode(), seed=5)
    for name in HOURLY_TOOLS:
        reply = session.step({"analysis_method": name, "analysis_args": {}})
        assert reply.status == "error"
        assert name in reply.message
    arguments = {"granularity": "hourly"}
    reply = session.step({"analysis_method": "show_raw_data", "analysis_args": arguments})
    assert "allowed: daily" in reply.message
    overview = session.step({"analysis_method": "task_overview", "analysis_args": {}})
    listed = overview.observation_fields["analysis_result"]["result"]["available_methods"]
    assert not HOURLY_TOOLS & set(listed)


def test_texts_of_a_daily_product_mention_no_hours() -> None:
    for mode in MODES:
        _session, reply = start(TableShape(3, Grain.DAY), mode, seed=5)
        config = reply.observation_fields["config"]
        texts = [
            ENVIRONMENT.build_system_prompt({"config": config}),
            reply.observation_fields["instruction"],
            *(spec.description for spec in reply.observation_fields["available_methods"]),
        ]
        for text in texts:
            assert "hour" not in text, text
        hourly = start(TableShape(3), mode, seed=5)[1].observation_fields["config"]
        assert ("hour" in ENVIRONMENT.build_system_prompt({"config": hourly})) == (
            mode.has_raw_disclosure
        )


@pytest.mark.parametrize("name", SHAPES)
def test_every_method_without_arguments_answers_on_a_product(name: str) -> None:
    for mode in MODES:
        session, reply = start(SHAPES[name], mode, seed=5, anomaly_count=2, max_steps=100)
        date = reply.observation_fields["config"]["start_date"]
        for spec in reply.observation_fields["available_methods"]:
            values = {
                "date": date,
                "dates": [date],
                "threshold": 1.0,
                "threshold_multiplier": 0.0,
                "rows": [],
                "generator_methods": [{"method_name": "median_filter"}],
            }
            required = spec.parameters.get("required", [])
            arguments = {each: values[each] for each in required if each in values}
            if "entity_name" in required:
                names = spec.parameters["properties"]["entity_name"]["enum"]
                arguments["entity_name"] = names[0]
            if spec.name != "submit":
                action = {"analysis_method": spec.name, "analysis_args": arguments}
                assert session.step(action).status == "analyzed", spec.name


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["two stages by hour", "three stages by day"])
def test_reference_plays_from_the_messages_that_a_model_reads(name: str, mode: PlayMode) -> None:
    session, reply = start(SHAPES[name], mode, seed=3, anomaly_count=3, difficulty="expert")
    reset = {**reply.observation_fields, "message": reply.message}
    catalogue = CATALOGUE.select_for_episode(reset)
    first_message = catalogue.first_user_message(reset)
    steps = get_policy("reference").generate_actions(
        catalogue.observation_from_messages(first_message, None)
    )
    action = next(steps)
    while True:
        result = session.step(action)
        assert result.status != "error", result.message
        if result.done:
            break
        observation = {
            "status": result.status,
            "message": result.message,
            **result.observation_fields,
        }
        tool_result = catalogue.format_tool_result(observation)
        action = steps.send(catalogue.observation_from_messages(first_message, tool_result))
    assert result.reward == 1.0


@pytest.mark.parametrize("name", SHAPES)
def test_every_policy_finishes_an_episode_of_a_product(name: str) -> None:
    scores = {}
    for policy_name, policy in POLICIES.items():
        session, reply = start(
            SHAPES[name],
            PlayMode(),
            seed=11,
            anomaly_count=2,
            max_submissions=policy.max_submissions,
        )
        scores[policy_name] = run_policy(session, policy, reply).score
    assert scores["reference"] == 1.0
    assert scores["upstream_first"] > 0.0


@pytest.mark.parametrize("exploit_name", PLAYED_EXPLOITS)
def test_exploits_that_read_thresholds_finish_an_episode_of_a_product(exploit_name: str) -> None:
    policy = EXPLOITS.find(exploit_name).policy
    mode = RAW_MODE if exploit_name in RAW_EXPLOITS else PlayMode()
    for name in ("two stages by hour", "three stages by day"):
        session, reply = start(
            SHAPES[name],
            mode,
            seed=12,
            anomaly_count=3,
            max_submissions=policy.max_submissions,
        )
        result = run_policy(session, policy, reply)
        assert result.status == "evaluated"


def test_result_labels_name_level_and_family_of_a_product() -> None:
    product = build_product(TableShape(2))
    labels = ENVIRONMENT.build_result_labels({"product": product, "difficulty": "hard", "seed": 2})
    assert labels == {"level": "hard", "family": MIXED}


def test_rows_of_a_reset_with_custom_anomalies_name_the_products_series() -> None:
    product = build_product(TableShape(3, Grain.DAY))
    session, reply = start(TableShape(3, Grain.DAY), PlayMode(), seed=4)
    date = reply.observation_fields["config"]["start_date"]
    anomaly = {"metric_name": product.stages[0], "date": date, "stddev_factor": 30}
    reply = session.reset(product=product, seed=4, anomalies=[anomaly])
    assert reply.status == "ready", reply.message
    applied = reply.observation_fields["applied_synthetic_generators"]
    assert [entry["metric_name"] for entry in applied] == [product.stages[0]]
    reply = session.reset(product=product, anomalies=[anomaly | {"metric_name": "app_opens"}])
    assert reply.status == "error"
    assert product.stages[0] in reply.message
