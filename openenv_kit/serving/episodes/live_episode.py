"""A live episode: a session of an environment, and the record from which it can be rebuilt."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from openenv_kit.environment import (
    Environment,
    Reply,
    Session,
    full_observation_from_reply,
    get_environment,
)
from openenv_kit.reply import ReplyStatus, observation_from_reply
from openenv_kit.reset_arguments import PRODUCT
from openenv_kit.reset_limits import reset_within_server_limits
from openenv_kit.serving import messages, metrics
from openenv_kit.serving.episodes.ids import generate_episode_id, generate_player_id
from openenv_kit.serving.episodes.records import (
    RESET_ACTION_INDEX,
    ActionRecord,
    EpisodeStart,
    ReplayError,
    decompress_slow_result,
)
from openenv_kit.serving.episodes.running_episodes import (
    RUNNING_EPISODES,
    EndReason,
    EpisodeKey,
    RunningEpisode,
    get_end_reason_or_completed,
    get_task_level_unless_sealed,
)
from openenv_kit.serving.episodes.saved_recordings import (
    EpisodeRecorder,
    create_recorder_unless_disabled_or_sealed,
)
from openenv_kit.serving.episodes.task_assignment import AssignedTask
from openenv_kit.serving.messages import JsonObject, WireReply
from openenv_kit.serving.settings import Settings, current_settings

MAX_RECORD_BYTES = 256 * 1024
"""Maximum record size of a WebSocket session. A session with a larger record cannot be resumed."""

REJECTED_STEP_LABEL = "refused"
"""Value of the label `method` for rejected steps in the metrics."""


@dataclass
class LiveEpisode:
    """A session in the memory of a worker, and the record of its episode.

    Attributes:
        transport: `ws`, `http`, `mcp` or `page`, for the log and the metrics.
        max_record_bytes: maximum size of the record. An episode with a larger record cannot be
            resumed.
        environment: the environment.
        settings: settings of the server.
        assigned_task: task that the server assigned; None if the client chose the task.
        original_start: start of the stored episode that was rebuilt; None for a new episode.
        session: the session.
        episode_id: id of the episode; None before the first reset.
        player_id: id for a player of the episode.
        reset_arguments: arguments of the reset, except the episode id.
        record: the actions since the reset.
        final_reply: the reply that ended the episode, without its observation; None until then.
        score_components: components of the final score; None if nothing was graded.
        recorder: writes a recording into the data folder; None if the episode is not recorded.
        running_entry: entry of the episode in `RUNNING_EPISODES`; None before it is registered.
    """

    transport: str = "ws"
    max_record_bytes: int = MAX_RECORD_BYTES
    environment: Environment = field(default_factory=get_environment)
    settings: Settings = field(default_factory=current_settings)
    assigned_task: AssignedTask | None = None
    original_start: EpisodeStart | None = None
    session: Session = field(init=False)
    episode_id: str | None = field(init=False, default=None)
    player_id: str = field(init=False, default="")
    reset_arguments: JsonObject = field(init=False, default_factory=dict)
    record: ActionRecord = field(init=False)
    final_reply: Reply | None = field(init=False, default=None)
    score_components: JsonObject | None = field(init=False, default=None)
    recorder: EpisodeRecorder | None = field(init=False, default=None)
    running_entry: RunningEpisode | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.session = self.environment.create_session(debug=self.settings.debug)
        self.record = ActionRecord(self.max_record_bytes)

    @property
    def is_resumable(self) -> bool:
        """Whether the episode was started and can be rebuilt from its record."""
        return self.episode_id is not None and self.record.is_complete

    @property
    def episode_and_player_ids(self) -> JsonObject:
        """Episode id and player id, which the reply to a trainer's reset contains."""
        return {"episode_id": self.episode_id, "player_id": self.player_id}

    def reset(
        self, reset_arguments: Mapping[str, Any], requested_at_s: float | None = None
    ) -> Reply:
        """Start an episode. A rejected reset changes nothing.

        Args:
            reset_arguments: unvalidated arguments of the reset.
            requested_at_s: `time.perf_counter()` when the request arrived; None for the current
                time.
        """
        begin_s = time.perf_counter() if requested_at_s is None else requested_at_s
        reply = reset_within_server_limits(
            self.environment, self.session, reset_arguments, self.settings
        )
        if reply.status == ReplyStatus.ERROR:
            metrics.count_error(metrics.ErrorKind.RESET)
            return reply
        episode_id = reset_arguments.get("episode_id") or generate_episode_id()
        self._set_ids_and_start_new_record(episode_id, reset_arguments, generate_player_id(), reply)
        metrics.RESET_SECONDS.labels(self.transport).observe(time.perf_counter() - begin_s)
        return reply

    def step(
        self,
        action: JsonObject,
        action_json: bytes | None = None,
        metadata_ids: JsonObject | None = None,
        requested_at_s: float | None = None,
    ) -> WireReply:
        """Execute an action and return the reply in the framework's format.

        Args:
            action: the unvalidated action.
            action_json: the action as JSON; None to serialize `action` if needed.
            metadata_ids: ids to add to the metadata of the reply.
            requested_at_s: `time.perf_counter()` when the request arrived; None for the current
                time.
        """
        begin_s = time.perf_counter() if requested_at_s is None else requested_at_s
        steps_before = self.session.steps
        try:
            reply = self.session.step(action)
        except Exception:
            self._rebuild_session_from_record()
            raise
        is_counted = self.session.steps > steps_before
        if self.recorder is not None and is_counted:
            self.recorder.record_step(action, reply)
        if is_counted and self.record.is_complete:
            action_json = messages.to_json_bytes(action) if action_json is None else action_json
            self.record.append_action_or_discard_full_record(
                action_json, self.session.last_slow_result
            )
            self.session.last_slow_result = None
        if self.running_entry is not None:
            self.running_entry.set_step_count_and_time_of_last_use(self.session.steps)
        if reply.done and self.final_reply is None:
            self._set_final_reply_and_register_end(reply)
        wire_reply = self.build_wire_reply(reply, metadata_ids)
        tools, method = self.environment.tools, REJECTED_STEP_LABEL
        if reply.status == ReplyStatus.ERROR:
            metrics.count_error(metrics.ErrorKind.STEP)
        else:
            tool_name = tools.tool_call_of_action(action).name
            if tool_name in tools.tool_names:
                method = tool_name
        metrics.STEP_SECONDS.labels(method).observe(time.perf_counter() - begin_s)
        return wire_reply

    def get_progress_with_episode_id(self) -> JsonObject:
        """Return the progress of the episode, with its id."""
        progress = self.session.state().model_dump(exclude={"episode_id"})
        return {"episode_id": self.episode_id, **progress}

    def get_tool_selection_fields(self) -> JsonObject:
        """Return the episode fields that determine which tools are available.

        These are the progress and, if the episode was generated from one, the product. The progress
        does not include the product, because a reset may contain the complete product instead of
        its name.
        """
        product = self.reset_arguments.get(PRODUCT.name)
        progress = self.get_progress_with_episode_id()
        return progress if product is None else {**progress, PRODUCT.name: product}

    def build_wire_reply(self, reply: Reply, metadata_ids: JsonObject | None = None) -> WireReply:
        """Convert a reply to the framework's format: `observation`, `reward`, `done`, and `info`.

        Values may be pydantic models, which `messages.to_json_bytes` serializes.

        Args:
            reply: the reply of the session.
            metadata_ids: ids to add to the metadata of the reply and its observation.
        """
        observation = full_observation_from_reply(self.environment, reply, self.session.task_id)
        wire_reply = {"observation": observation, "reward": reply.reward, "done": reply.done}
        if metadata_ids:
            observation["metadata"] = wire_reply["metadata"] = metadata_ids
        if reply.info is not None:
            wire_reply["info"] = reply.info
        return wire_reply

    def rebuild_from_actions(
        self,
        episode_id: str,
        reset_arguments: Mapping[str, Any],
        actions: Sequence[bytes],
        player_id: str = "",
        slow_results: Mapping[int, bytes] = MappingProxyType({}),
    ) -> Reply:
        """Rebuild a stored episode in this session. Its steps are not counted in the metrics.

        Args:
            episode_id: id of the episode.
            reset_arguments: arguments of the episode's reset.
            actions: each action as JSON, in order.
            player_id: id of the player.
            slow_results: compressed results of slow calls, which are not computed again.

        Returns:
            The reply to the reset, with status, reward and `done` of the last step.

        Raises:
            ReplayError: the reset was rejected, or an action caused an internal error.
        """
        reset_reply = reset_within_server_limits(
            self.environment, self.session, reset_arguments, self.settings
        )
        if reset_reply.status == ReplyStatus.ERROR:
            raise ReplayError(RESET_ACTION_INDEX, reset_reply.message)
        self._set_ids_and_start_new_record(episode_id, reset_arguments, player_id, reset_reply)
        for index, action_json in enumerate(actions):
            try:
                self.apply_stored_action(action_json, slow_results.get(index))
            except Exception as error:
                raise ReplayError(index, "an action causes an internal error") from error
        state, last_reply = self.get_progress_with_episode_id(), self.final_reply or reset_reply
        return replace(
            reset_reply,
            status=last_reply.status,
            reward=last_reply.reward,
            done=last_reply.done,
            message=f"Episode resumed at step {state['step_count']} of {state['max_steps']}.",
        )

    def apply_stored_action(
        self, action_json: bytes, compressed_result: bytes | None = None
    ) -> None:
        """Execute an action that was loaded from the store.

        Args:
            action_json: the action as JSON.
            compressed_result: stored result of the action's slow call, which is then not computed
                again; None if no result is stored.
        """
        action = messages.parse_json_within_limits(action_json)
        reply = self.session.repeat_stored_step(action, decompress_slow_result(compressed_result))
        if self.recorder is not None and self.final_reply is None:
            self.recorder.record_step(action, reply)
        if reply.done and self.final_reply is None:
            self._set_final_reply_and_score_components(reply)
        self.record.append_action_or_discard_full_record(action_json, self.session.last_slow_result)
        self.session.last_slow_result = None

    def register_start_and_end_previous(self, *, is_stored: bool) -> None:
        """Register and log the start of the episode, after ending the episode that it replaces."""
        RUNNING_EPISODES.remove_and_log_end_if_registered(self.running_entry, EndReason.RESTARTED)
        self.running_entry = self._build_running_entry(is_stored=is_stored)
        RUNNING_EPISODES.register_start_and_end_previous(self.running_entry)

    def register_as_running_if_not_ended(self, *, is_client_request: bool = False) -> None:
        """Register the stored episode as running on this worker, if it has not ended.

        Args:
            is_client_request: whether a client asked to resume the episode, in which case the log
                line has the level INFO.
        """
        if self.final_reply is not None or RUNNING_EPISODES.is_current_entry(self.running_entry):
            return
        entry = self._build_running_entry(is_stored=True)
        if self.running_entry is not None:
            entry.transport = self.running_entry.transport
            entry.started_s = self.running_entry.started_s
        elif self.original_start is not None:
            entry.transport = self.original_start.transport
            entry.started_s -= self.original_start.age_s
        self.running_entry = RUNNING_EPISODES.get_or_register_resumed(
            entry, is_client_request=is_client_request
        )

    def _set_ids_and_start_new_record(
        self,
        episode_id: str,
        reset_arguments: Mapping[str, Any],
        player_id: str,
        reset_reply: Reply,
    ) -> None:
        self.episode_id, self.player_id = episode_id, player_id
        self.reset_arguments = {
            name: value for name, value in reset_arguments.items() if name != "episode_id"
        }
        self.record = ActionRecord(self.max_record_bytes)
        self.final_reply = self.score_components = None
        self.recorder = create_recorder_unless_disabled_or_sealed(
            self.environment, self.settings, self.transport, self.reset_arguments, reset_reply
        )

    def _set_final_reply_and_register_end(self, reply: Reply) -> None:
        self._set_final_reply_and_score_components(reply)
        score = reply.reward or 0.0
        if self.score_components is not None or self.session.is_sealed:
            metrics.SCORES.observe(score)
        RUNNING_EPISODES.remove_and_log_end_if_registered(
            self.running_entry, get_end_reason_or_completed(reply), score
        )
        if self.recorder is not None:
            self.recorder.save_recording_in_background(reply)

    def _set_final_reply_and_score_components(self, reply: Reply) -> None:
        components = self.environment.extract_score_components(observation_from_reply(reply))
        self.score_components = None if components is None else dict(components)
        self.final_reply = replace(reply, observation_fields={})

    def _rebuild_session_from_record(self) -> None:
        """Replay the record in a new session, because an error may have corrupted the old one."""
        if not self.is_resumable:
            return
        self.session = self.environment.create_session(debug=self.settings.debug)
        reset_within_server_limits(
            self.environment, self.session, self.reset_arguments, self.settings
        )
        for index, action_json in enumerate(self.record.actions):
            slow_result = self.record.get_slow_result(index)
            self.session.repeat_stored_step(
                messages.parse_json_within_limits(action_json), slow_result
            )

    def _build_running_entry(self, *, is_stored: bool) -> RunningEpisode:
        return RunningEpisode(
            EpisodeKey(self.environment.name, self.episode_id or ""),
            self.transport,
            get_task_level_unless_sealed(self.environment, self.reset_arguments),
            self.player_id,
            is_stored=is_stored,
            step_count=self.session.steps,
        )
