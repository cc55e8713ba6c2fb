"""Plays an episode through tool calls, as models do.

The environment defines the tools and their descriptions. A tool result is one line of JSON.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from openenv_kit.datasets.row_values import convert_row_to_mapping, convert_to_python_value
from openenv_kit.datasets.split_rows import reset_arguments_from_row
from openenv_kit.datasets.task_sampling import (
    add_default_split,
    has_task_selector,
    sample_task_reset_arguments,
)
from openenv_kit.environment import get_environment
from openenv_kit.episode_clients.http import HttpEpisode
from openenv_kit.episode_clients.in_process import InProcessEpisode
from openenv_kit.episode_clients.protocol import EpisodeClient, ObservationJson
from openenv_kit.errors import (
    InvalidValueError,
    RefusedResetError,
    ServerError,
    ToolArgumentError,
    UnknownNameError,
)
from openenv_kit.json_text import compact_json
from openenv_kit.own_data.product_argument import require_expected_product
from openenv_kit.own_data.product_support import PRODUCT_DIGEST_COLUMN
from openenv_kit.recordings.rollout_recorder import DEFAULT_PLAYER_NAME, RolloutRecorder
from openenv_kit.reply import EVIDENCE_SHARE_KEY, EndInfo, ReplyStatus
from openenv_kit.reset_arguments import PRODUCT
from openenv_kit.rewards import COMMON_REWARDS
from openenv_kit.trainers.offered_tools import require_offered_tools_to_match_episode

EPISODE_OVER_RESULT = {
    "status": "completed",
    "message": "The episode is over; this call changed nothing.",
}
"""Result of a tool call after the end of the episode."""


class _StartedEpisode(NamedTuple):
    """Reset arguments of an episode, and the observation of the reset."""

    arguments: Mapping[str, Any]
    reset_observation: ObservationJson


class _DrawnTask(NamedTuple):
    """A task that was sampled for a row, and the reset arguments from which it was sampled."""

    requested: Mapping[str, Any]
    arguments: Mapping[str, Any]


class ToolEpisode:
    """An episode that is played through tool calls, possibly from several threads.

    Calls are executed one at a time. After the end of the episode, calls return
    `EPISODE_OVER_RESULT` and are not sent to the server, which may have deleted the episode. An
    episode can be pickled. The copy continues the episode; on a server, it opens a new connection.

    Args:
        base_url: URL of the server to play on; None to play in this process.
        environment: name of the environment; None for the name in the variable ENVIRONMENT.
        default_reset_arguments: reset arguments for rows that select no task, such as `split`.
        record: folder in which every episode is recorded with its messages when it ends; None to
            record nothing.
        player_name: name of the player in the recordings, such as the name of a checkpoint.
        is_bound_to_product: whether the player is offered its tools before the reset. Rows whose
            product differs from the one in the default reset arguments are then rejected.
        should_wait_when_full: whether `reset` waits while the server is at capacity. Otherwise it
            raises a ServerFullError, and the next `reset` with a row that selects no task tries the
            same task again.

    Attributes:
        system_prompt: system prompt of the episode; empty before the first reset.
        is_done: whether the episode is over.
        info: additional values of the last reply, such as score components; empty before the end.
        tool_call_count: number of tool calls in this episode.
        tools: tools of the episode; before the first reset, the tools of an episode with the
            default reset arguments.
    """

    def __init__(
        self,
        base_url: str | None = None,
        environment: str | None = None,
        default_reset_arguments: Mapping[str, Any] | None = None,
        *,
        record: Path | str | None = None,
        player_name: str = DEFAULT_PLAYER_NAME,
        is_bound_to_product: bool = False,
        should_wait_when_full: bool = True,
    ) -> None:
        self._record_folder = Path(record) if record else None
        self._player_name = player_name
        self._recorder: RolloutRecorder | None = None
        self.environment = get_environment(environment)
        self._default_reset_arguments = dict(default_reset_arguments or {})
        self._is_bound_to_product = is_bound_to_product
        self._client: EpisodeClient
        if base_url:
            self._client = HttpEpisode(
                base_url, self.environment, should_wait_when_full=should_wait_when_full
            )
        else:
            self._client = InProcessEpisode(self.environment)
        self.system_prompt = ""
        self._reward = 0.0
        self.is_done = False
        self.info: Mapping[str, Any] = {}
        self.tool_call_count = 0
        self._reset_observation: Mapping[str, Any] = add_default_split(
            self.environment, self._default_reset_arguments
        )
        self.tools = self.environment.tools.select_for_episode(self._reset_observation)
        self._server_error: ServerError | None = None
        self._drawn_task: _DrawnTask | None = None
        self._lock = threading.Lock()

    @property
    def reward(self) -> float:
        """Score of the episode in [0, 1]; 0.0 until it is over.

        Raises:
            ServerError: the connection to the server was lost before the end, so there is no score.
                Some trainers pass a tool's error to the model and continue; reading the reward
                still raises the error.
        """
        if self._server_error and not self.is_done:
            raise self._server_error
        return self._reward

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics that trainers log in addition to the reward.

        They are `tool_calls`, `submitted`, the final reward under each reward mode, the score
        components, and the evidence share (`grounded`). If no report was submitted, all of them
        except `tool_calls` are 0.
        """
        end_info = EndInfo.from_info(self.info)
        return {
            "tool_calls": self.tool_call_count,
            "submitted": self.is_done,
            **{reward.value: 0.0 for reward in COMMON_REWARDS},
            **end_info.components,
            EVIDENCE_SHARE_KEY: end_info.evidence_share or 0.0,
        }

    def reset(
        self, row: Mapping[str, Any] | None = None, offered_tool_names: Sequence[str] = ()
    ) -> str:
        """Start the episode of a dataset row and return its first user message.

        Empty columns and columns that are not reset arguments are ignored. A row that selects no
        task starts a different task of the split each time; see `sample_task_reset_arguments`.

        Args:
            row: dataset row; None for a row without columns.
            offered_tool_names: names of the tools that the player was offered before this call;
                empty if the player gets the tools of this episode.

        Raises:
            InvalidValueError: the reset was rejected, the row belongs to a different environment or
                product, or the tools that the player was offered are not the tools of the episode.
            ServerError: the server cannot be reached, or serves a different environment.
        """
        environment_name = self.environment.name
        row = convert_row_to_mapping(row)
        row_environment = convert_to_python_value(row.get("environment"))
        if row_environment not in (None, environment_name):
            allowed = f"{environment_name!r}, which the player was made for"
            raise InvalidValueError("the row's environment", row_environment, allowed)
        with self._lock:
            self._write_unfinished_recording()
            row_arguments = reset_arguments_from_row(row, environment_name)
            self._require_bound_product(row_arguments)
            started = self._start_given_or_drawn_episode(row_arguments)
            observation = started.reset_observation
            require_expected_product(
                self.environment,
                convert_to_python_value(row.get(PRODUCT_DIGEST_COLUMN)),
                observation,
            )
            tools = self.environment.tools.select_for_episode(observation)
            if offered_tool_names:
                require_offered_tools_to_match_episode(
                    self.environment, offered_tool_names, started.arguments, tools
                )
            self.system_prompt = self.environment.build_system_prompt(observation)
            self.tools = tools
            self._reset_observation = observation
            self._reward = 0.0
            self.is_done = False
            self.tool_call_count = 0
            self._server_error = None
            self.info = {}
            first_user_message = self.environment.tools.first_user_message(observation)
            self._start_recording(started, first_user_message)
        return first_user_message

    def _require_bound_product(self, row_arguments: Mapping[str, Any]) -> None:
        """Raise an InvalidValueError if the row's product does not match the offered tools."""
        if not self._is_bound_to_product:
            return
        offered = self._default_reset_arguments.get(PRODUCT.name)
        requested = row_arguments.get(PRODUCT.name)
        if requested == offered or (requested is None and not has_task_selector(row_arguments)):
            return
        allowed = "no product" if offered is None else repr(offered)
        raise InvalidValueError(
            "the row's product", requested, f"{allowed}, whose tools the player was offered"
        )

    def _start_given_or_drawn_episode(self, row_arguments: Mapping[str, Any]) -> _StartedEpisode:
        """Start an episode with the arguments of a row; sample a task if they select none."""
        is_drawn = False
        arguments = row_arguments
        if not has_task_selector(arguments):
            arguments = {**self._default_reset_arguments, **row_arguments}
            is_drawn = not has_task_selector(arguments)
        try:
            if is_drawn:
                arguments = self._draw_task(arguments)
        except UnknownNameError as problem:
            raise RefusedResetError(arguments, str(problem)) from None
        observation = self._client.reset(arguments)
        self._drawn_task = None
        if observation["status"] == ReplyStatus.ERROR and is_drawn and row_arguments:
            # Some arguments configure a whole episode and cannot be combined with a split.
            arguments = row_arguments
            observation = self._client.reset(arguments)
        if observation["status"] == ReplyStatus.ERROR:
            raise RefusedResetError(arguments, observation["message"])
        return _StartedEpisode(arguments, observation)

    def _draw_task(self, requested: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the reset arguments of a new task, or of the task that a full server rejected."""
        if self._drawn_task is None or self._drawn_task.requested != requested:
            self._drawn_task = _DrawnTask(
                requested, sample_task_reset_arguments(self.environment, requested)
            )
        return self._drawn_task.arguments

    def __getstate__(self) -> dict[str, Any]:
        rebuilt_on_load = ("_lock", "environment", "tools")
        state = {name: value for name, value in vars(self).items() if name not in rebuilt_on_load}
        return {**state, "environment": self.environment.name}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self.environment = get_environment(state["environment"])
        self.tools = self.environment.tools.select_for_episode(self._reset_observation)
        self._lock = threading.Lock()

    def call_tool(self, name: str, arguments: object, model_text: str = "") -> str:
        """Call a tool and return its result, or an error result if the call is not valid.

        Args:
            name: name of the tool.
            arguments: arguments of the call, as the model wrote them.
            model_text: text that the model wrote with the call, for the recording.

        Raises:
            ServerError: the connection to the server was lost.
        """
        with self._lock:
            self.tool_call_count += 1
            if self.is_done:
                return compact_json(EPISODE_OVER_RESULT)
            recorder = self._recorder
            if recorder is not None:
                recorder.start_call(name, arguments, model_text)
            try:
                action = self.tools.build_action(name, arguments)
            except ToolArgumentError as problem:
                error_result = compact_json({"status": ReplyStatus.ERROR, "message": str(problem)})
                if recorder is not None:
                    recorder.record_rejected_call(error_result)
                return error_result
            try:
                observation = self._client.step(action)
            except ServerError as problem:
                self._server_error = problem
                raise
            result = compact_json(self.tools.format_tool_result(observation))
            if recorder is not None:
                recorder.record_executed_call(action, observation, result)
            if observation["done"]:
                self.is_done = True
                self._reward = float(observation["reward"] or 0.0)
                self.info = observation.get("metadata") or {}
                if recorder is not None:
                    recorder.write_rollout(self._reward)
            return result

    def record_text_without_call(self, text: str) -> None:
        """Record a response of the model that has no tool call, if recording is enabled."""
        if self._recorder is not None and not self.is_done:
            self._recorder.add_model_text(text)

    def close(self) -> None:
        """Close the connection to the server, if one is open, and write the recording."""
        self._write_unfinished_recording()
        self._client.close()

    def _start_recording(self, started: _StartedEpisode, first_user_message: str) -> None:
        if self._record_folder is None:
            return
        self._recorder = RolloutRecorder(
            self._record_folder,
            self._player_name,
            self.environment,
            started.arguments,
            started.reset_observation,
            [
                {"role": "system", "content": self.system_prompt},
                {"role": "user", "content": first_user_message},
            ],
        )

    def _write_unfinished_recording(self) -> None:
        """Write the recording of an episode that the player abandoned before its end."""
        if self._recorder is None or self.is_done:
            return
        if self._server_error is not None:
            self._recorder.write_rollout(None, str(self._server_error))
        else:
            self._recorder.write_rollout(0.0, "No report was submitted.")
        self._recorder = None
