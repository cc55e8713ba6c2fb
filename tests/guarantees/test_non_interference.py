"""No message before the last submission depends on the labels.

An episode's labels are replaced by others, as many as before; the same analysis steps must
then be answered by the very same bytes. The last submission must not, or nothing was tested.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from openenv.core.env_server.serialization import serialize_observation
from openenv.core.env_server.types import WSObservationResponse, WSStateResponse

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.play_rules import EpisodeView, PlayRules
from metric_tracker_rl.engine.configuration.tasks import TASKS
from metric_tracker_rl.engine.definitions.names import (
    DETECTION_METHODS,
    EXACT,
    GRADED,
    KEY_F1,
    ROW_GENERATOR_NAMES,
)
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter

pytestmark = pytest.mark.slow
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
    reward: str = GRADED,
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


def interference(config: EpisodeConfig, reward: str = GRADED) -> tuple[list[int], bool]:
    """Indices of frames before the submission that tell labels apart; whether the last does."""
    episode = build_episode(config)
    swapped = dataclasses.replace(episode, expected_rows=other_labels(episode))
    assert len(swapped.expected_rows) == len(episode.expected_rows)
    actions = actions_on(episode)
    true, false = (frames_of(config, each, actions, reward) for each in (episode, swapped))
    assert len(true) == len(false) == 2 * (len(actions) + 2)
    differing = [n for n, (a, b) in enumerate(zip(true, false, strict=True)) if a != b]
    before = [n for n in differing if n < len(true) - 2]
    return before, len(true) - 2 in differing


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.seed}")
def test_no_frame_before_the_submission_depends_on_the_labels(config: EpisodeConfig) -> None:
    before, at_the_end = interference(config)
    assert before == []
    assert at_the_end


@pytest.mark.parametrize("reward", [EXACT, KEY_F1])
def test_nor_does_one_under_another_reward(reward: str) -> None:
    before, at_the_end = interference(CONFIGS[1], reward)
    assert before == []
    assert at_the_end


def leak_through_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(view: EpisodeView, arguments: Any) -> dict[str, Any]:
        found = honest.run(view, arguments)
        guilty = {row.date for row in view.episode.expected_rows}
        return {**found, "dates": sorted(found["dates"], key=lambda date: date in guilty)}

    honest = TOOLS["list_dates"]
    monkeypatch.setitem(TOOLS, "list_dates", dataclasses.replace(honest, run=leaky))


def leak_through_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = EpisodeSession.step

    def leaky(self: EpisodeSession, action: Any) -> Any:
        reply = honest(self, action)
        assert self.episode is not None
        asked = action.get("analysis_args", {}).get("date")
        hit = asked in {row.date for row in self.episode.expected_rows}
        return dataclasses.replace(reply, message=reply.message + " Warm." * hit)

    monkeypatch.setattr(EpisodeSession, "step", leaky)


def leak_through_the_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = EpisodeSession._build_reset_fields

    def leaky(self: EpisodeSession, view: EpisodeView) -> dict[str, Any]:
        opening = honest(self, view)
        kinds = {row.entity_type for row in view.episode.expected_rows}
        return {**opening, "config": {**opening["config"], "hint": sorted(kinds)}}

    monkeypatch.setattr(EpisodeSession, "_build_reset_fields", leaky)


def leak_through_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = OpenEnvAdapter.state.fget
    assert honest is not None

    def leaky(self: OpenEnvAdapter) -> Any:
        episode = self.session.episode
        assert episode is not None
        return honest(self).model_copy(update={"task_id": episode.expected_rows[0].date})

    monkeypatch.setattr(OpenEnvAdapter, "state", property(leaky))


@pytest.mark.parametrize(
    "leak",
    [
        leak_through_a_tool,
        leak_through_a_message,
        leak_through_the_opening,
        leak_through_the_state,
    ],
    ids=lambda leak: leak.__name__,
)
def test_the_check_notices_a_label_that_is_leaked_on_purpose(
    leak: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    leak(monkeypatch)
    before, _ = interference(CONFIGS[1])
    assert before


def test_practice_tells_no_more_than_the_counts_of_its_rows() -> None:
    """Two sets of labels with the same counts for a report are told by the same bytes."""
    config = CONFIGS[2]
    episode = build_episode(config)
    swapped = dataclasses.replace(episode, expected_rows=other_labels(episode))
    sent = []
    for each in (episode, swapped):
        environment = OpenEnvAdapter()
        rules = PlayRules(max_submissions=3)
        environment.session.start_from_view("task", EpisodeView(each, rules))
        row = each.expected_rows[0].as_dict()  # one right row, whichever that is
        observation = environment.step({"classifications": [row]})
        frame = WSObservationResponse(data=serialize_observation(observation))
        sent.append(frame.model_dump_json())
    assert sent[0] == sent[1]
    assert '"status":"in_progress"' in sent[0]
