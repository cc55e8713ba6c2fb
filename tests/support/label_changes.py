"""Funnel episodes with exchanged labels, and everything that a server sends about them."""

from __future__ import annotations

import dataclasses
from typing import Any

from openenv.core.env_server.serialization import serialize_observation
from openenv.core.env_server.types import WSObservationResponse, WSStateResponse

from metric_tracker_rl.analysis_tools import ANALYSIS_TOOLS_BY_MODE
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.configuration.tasks import TASKS
from metric_tracker_rl.engine.definitions.anomaly_types import ROW_GENERATOR_NAMES
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter

CONFIGS = [
    EpisodeConfig(
        task.seed,
        task.scenario_family,
        task.difficulty,
        task.anomaly_density,
        task.anomaly_count,
    )
    for task in TASKS.values()
] + [EpisodeConfig(5, "instrumentation_data_quality_issue", "hard", "low", 5)]


EVERYTHING = [{"method_name": name, "threshold_multiplier": 0} for name in ROW_GENERATOR_NAMES]


def other_labels(episode: FunnelEpisode) -> tuple[ReportRow, ...]:
    """Return as many rows as expected, all of them wrong."""
    taken = {row.key for row in episode.expected_rows}
    entities = episode.config.funnel_with_policy_daytime.entities
    free = [
        (date, *entity)
        for date in reversed(episode.dates)
        for entity in entities
        if (date, *entity) not in taken
    ]
    chosen = free[:: len(free) // len(taken)][: len(taken)]
    return tuple(
        ReportRow(date, kind, name, "funnel_break", DETECTION_METHODS[kind], 1.0, 2.0, 1.0, "high")
        for date, kind, name in chosen
    )


def actions_on(episode: FunnelEpisode, rules: PlayRules) -> list[dict[str, Any]]:
    """Return calls of every tool that the mode offers, on every date, and mistakes."""
    rows = [row.as_dict() for row in episode.expected_rows]
    dates, funnel = list(episode.dates), episode.config.funnel_with_policy_daytime
    several: dict[str, list[dict[str, Any]]] = {
        "compare_rate_to_median": [{"entity_name": name} for name in funnel.conversion_rate_names],
        "compare_count_to_median": [{"entity_name": name} for name in funnel.event_count_names],
        "get_rows_with_abs_diff_from_median_gt": [{"threshold": 1.0}],
        "get_metric_median": [{}, *({"metric_name": name} for name in funnel.count_and_rate_names)],
        "preview_submission": [{"rows": rows}, {"rows": [*rows, *rows, {}]}],
        "payload_generator": [
            {"generator_methods": EVERYTHING},
            {"generator_methods": EVERYTHING, "limit": 1000, "details": True},
        ],
        "task_overview": [{}, {"details": True}],
        "list_suspicious_dates": [{"limit": 28}, {"limit": 2, "offset": 3}],
        "show_raw_data": [{}, {"limit": 700, "granularity": "hourly"}],
        "overview": [{}, {"details": True}],
        "scan": [{}, {"first": 5}],
        "day": [{"dates": dates[at : at + 28]} for at in range(0, len(dates), 28)],
        "hours": [{"dates": dates[at : at + 7]} for at in range(0, len(dates), 7)],
        "submit": [{"ids": [10_000]}, {"rows": "rows"}],
    }
    actions: list[dict[str, Any]] = []
    for name, tool in ANALYSIS_TOOLS_BY_MODE[rules.mode].items():
        fields = tool.arguments_type.model_fields
        for arguments in several.get(name, [{}]):
            if "threshold_multiplier" in fields:
                arguments = {**arguments, "threshold_multiplier": 0.5, "details": True}
            dated = [{**arguments, "date": date} for date in dates] if "date" in fields else []
            actions += [
                {"analysis_method": name, "analysis_args": each} for each in dated or [arguments]
            ]
    actions.append({"analysis_method": "rows_for_dat", "analysis_args": {"date": "x"}})
    actions.append({"analysis_method": "day", "analysis_args": {"dates": ["1999-01-01"]}})
    actions.append({"analysis_method": "list_dates", "classifications": rows})
    actions.append({"classifications": "rows"})
    return actions


def messages_of(
    config: EpisodeConfig, episode: FunnelEpisode, actions: list[dict[str, Any]], rules: PlayRules
) -> list[str]:
    """Return what the server sends: each reply and the state after it.

    The replies are those to the reset, to each action and to a submission of the expected rows of
    `config`, whatever the labels of `episode`.
    """
    environment = OpenEnvAdapter()
    sent: list[str] = []

    def send(observation: Any) -> None:
        message = WSObservationResponse(data=serialize_observation(observation))
        sent.append(message.model_dump_json())
        sent.append(WSStateResponse(data=environment.state.model_dump()).model_dump_json())

    session = environment.session
    environment._episode_id = "same"
    view = EpisodeView(episode, dataclasses.replace(rules, max_steps=500))
    send(environment._build_observation(session.start_episode_from_view("task", view)))
    for action in actions:
        session.steps = min(session.steps, 400)  # more steps than an episode has
        send(environment.step(action))
    rows = [row.as_dict() for row in build_episode(config).expected_rows]
    send(environment.step({"classifications": rows}))
    return sent
