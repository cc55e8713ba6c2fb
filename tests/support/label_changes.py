"""Funnel episodes whose labels were exchanged, and everything that a session replies about them."""

from __future__ import annotations

from typing import Any

from openenv.core.env_server.serialization import serialize_observation
from openenv.core.env_server.types import WSObservationResponse, WSStateResponse

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.play_rules import PlayRules
from metric_tracker_rl.engine.configuration.tasks import TASKS
from metric_tracker_rl.engine.definitions.anomaly_types import ROW_GENERATOR_NAMES
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from openenv_kit.rewards import Reward
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


Frames = list[str]


def other_labels(episode: FunnelEpisode) -> tuple[ReportRow, ...]:
    """As many rows as expected, none of them right."""
    taken = {row.key for row in episode.expected_rows}
    entities = episode.config.funnel_spec.entities
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


def actions_on(episode: FunnelEpisode) -> list[dict[str, Any]]:
    """Every method on every date or with other arguments, and mistakes of several kinds."""
    actions: list[dict[str, Any]] = []
    rows = [row.as_dict() for row in episode.expected_rows]
    several = {
        "compare_rate_to_median": [
            {"entity_name": r} for r in episode.config.funnel_spec.rate_names
        ],
        "compare_count_to_median": [
            {"entity_name": c} for c in episode.config.funnel_spec.count_names
        ],
        "get_rows_with_abs_diff_from_median_gt": [{"threshold": 1.0}],
        "preview_submission": [{"rows": rows}, {"rows": [*rows, *rows, {}]}],
        "payload_generator": [
            {"generator_methods": EVERYTHING},
            {"generator_methods": EVERYTHING, "limit": 1000, "details": True},
        ],
        "task_overview": [{}, {"details": True}],
        "list_suspicious_dates": [{"limit": 28}, {"limit": 2, "offset": 3}],
        "show_raw_data": [{"limit": 700, "granularity": "hourly"}],
    }
    for name, tool in TOOLS.items():
        fields = tool.arguments_type.model_fields
        for arguments in several.get(name, [{}]):
            if "threshold_multiplier" in fields:
                arguments = {**arguments, "threshold_multiplier": 0.5, "details": True}
            if "date" in fields:
                dated = [{**arguments, "date": date} for date in episode.dates]
                actions += [{"analysis_method": name, "analysis_args": each} for each in dated]
            else:
                actions.append({"analysis_method": name, "analysis_args": arguments})
    actions.append({"analysis_method": "rows_for_dat", "analysis_args": {"date": "x"}})
    actions.append({"analysis_method": "list_dates", "classifications": rows})
    actions.append({"classifications": "rows"})
    return actions


def frames_of(
    config: EpisodeConfig,
    episode: FunnelEpisode,
    actions: list[dict[str, Any]],
    reward: str = Reward.GRADED,
) -> Frames:
    """What the server sends: reset, then each step and the state after it, then a submission."""
    environment = OpenEnvAdapter()
    sent: Frames = []

    def send(observation: Any) -> None:
        frame = WSObservationResponse(data=serialize_observation(observation))
        sent.append(frame.model_dump_json())
        sent.append(WSStateResponse(data=environment.state.model_dump()).model_dump_json())

    session = environment.session
    environment._episode_id = "same"
    view = EpisodeView(episode, PlayRules(500, reward=reward))
    send(environment._build_observation(session.start_from_view("task", view)))
    for action in actions:
        session.steps = min(session.steps, 400)  # more steps than an episode has
        send(environment.step(action))
    rows = [row.as_dict() for row in build_episode(config).expected_rows]
    send(environment.step({"classifications": rows}))
    return sent
