"""Base class of sessions, which run the episodes of an environment in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from openenv_kit.errors import KitError, UnencodableTextError
from openenv_kit.reply import END_REASON_KEY, Reply, ReplyStatus
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.unencodable_text import describe_unencodable_text

if TYPE_CHECKING:
    from pydantic import BaseModel

ANNOUNCE_STEPS_LEFT_BELOW = 3
"""Replies state the number of remaining steps when it is below this value."""


class EpisodeStatus(StrEnum):
    """Status of an episode, as `state` reports it."""

    IDLE = "idle"
    """No episode has been started."""
    RUNNING = "running"
    COMPLETED = "completed"
    """The episode is over."""
    CLOSED = "closed"
    """A client closed the episode before its end. Only episodes on a server can be closed."""


class Session:
    """Plays episodes of an environment, one at a time. Each environment has a subclass.

    `reset` and `step` return an error reply for bad input; they do not raise. A subclass provides
    `start_episode`, `execute_action` and `build_episode_identity`. This class counts and limits
    steps and rejects steps after the end. In every subclass, a step after the end has reward 0, and
    the last reply of a sealed episode contains no result except the score.

    Attributes:
        is_sealed: whether the episode belongs to a sealed split.
        task_id: id of the episode's task; empty before the first episode.
        steps: number of steps since the reset.
        max_steps: maximum number of steps; one more step ends the episode without a grade.
        done: whether an episode was started and is over.
        last_slow_result: result of the last step's slow computation; None if there was none. A
            server stores it with the action; see `compute_or_reuse_slow_result`.
    """

    last_slow_result: dict[str, Any] | None = None
    _stored_slow_result: dict[str, Any] | None = None
    state_model: type[BaseModel]
    """Model of the state, with the fields `step_count`, `task_id`, `max_steps` and `status`."""

    def __init__(self) -> None:
        self.task_id = ""
        self.steps = self.max_steps = 0
        self.done = self.is_sealed = False
        self._final_reward: float | None = None

    def start_episode(self, **arguments: Any) -> Reply:
        """Start an episode, set `task_id` and `max_steps`, and return the reply to the reset.

        Raises:
            KitError: an argument is wrong. In this case, the running episode must stay unchanged.
        """
        raise NotImplementedError

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        """Execute an action of the running episode and return the reply.

        Args:
            action: the action, not validated.

        Raises:
            KitError: the action is rejected. It counts as a step.
        """
        raise NotImplementedError

    def build_episode_identity(self) -> Mapping[str, Any]:
        """Return the configuration and the rules that determine the episode, as JSON values.

        They are not shown to players.
        """
        raise NotImplementedError

    def build_extra_state_fields(self) -> Mapping[str, Any]:
        """Return additional state fields, which must not contain a label, a seed or a score."""
        return {}

    @property
    def memory_bytes(self) -> int:
        """Estimated memory of the session, in bytes. A server limits the total of its sessions."""
        return 60_000

    def build_error_reply(self, message: str) -> Reply:
        """Return the reply to a rejected reset or step, with status `error`."""
        return Reply(ReplyStatus.ERROR, message)

    def build_no_episode_reply(self) -> Reply:
        """Return the reply to a step before the first reset."""
        return self.build_error_reply("No episode is running: call reset first.")

    def build_episode_over_reply(self) -> Reply:
        """Return the reply to a step after the end of the episode."""
        return Reply(
            ReplyStatus.COMPLETED, "The episode is over: call reset for another one.", done=True
        )

    def build_step_limit_reply(self) -> Reply:
        """Return the reply that ends an episode with more than `max_steps` steps."""
        message = (
            f"More than {self.max_steps} steps were taken (max_steps): the episode ends with "
            "score 0 and nothing was graded."
        )
        return Reply(ReplyStatus.COMPLETED, message, done=True, info={END_REASON_KEY: "max_steps"})

    def build_sealed_end_fields(self, score: float | None) -> dict[str, Any]:
        """Return the observation fields of replies at and after the end of a sealed episode.

        Args:
            score: reward of the final step. Nothing else about the grade may be shown.
        """
        return {}

    def build_sealed_end_info(
        self, score: float | None, error: str | None
    ) -> dict[str, Any] | None:
        """Return the `info` of replies at and after the end of a sealed episode.

        Args:
            score: see `build_sealed_end_fields`.
            error: message for a step after the end; None for the step that ended the episode.
        """
        return None

    def reset(self, **arguments: Any) -> Reply:
        """Start an episode and return the reply.

        If the arguments are invalid, the reply has the status `error` and the running episode
        continues.
        """
        try:
            if problem := describe_unencodable_text(arguments, "reset"):
                raise UnencodableTextError(problem)
            reply = self.start_episode(**arguments)
        except KitError as problem:
            reply = self.build_error_reply(str(problem))
            reply.done = self.done
            return self._hide_grade_if_sealed(reply) if self.done else reply
        self.steps, self.done, self._final_reward = 0, reply.done, None
        self.is_sealed = is_sealed_split(arguments.get("split"))
        return reply

    def step(self, action: Mapping[str, Any]) -> Reply:
        """Execute an action and return the reply. A rejected action counts as a step too.

        A step after the end has reward 0, so that no reward is paid twice. An action with text that
        UTF-8 cannot encode is rejected and does not count, because a server cannot store it.
        """
        self.last_slow_result = None
        if not self.task_id:
            return self.build_no_episode_reply()
        if self.done:
            return self._build_reply_after_end()
        if problem := describe_unencodable_text(action, "action"):
            return self.build_error_reply(problem)
        self.steps += 1
        if self.steps > self.max_steps:
            self.done = True
            reply = self.build_step_limit_reply()
            reply.done = True
            return self._store_reward_and_hide_grade_if_sealed(reply)
        try:
            reply = self.execute_action(action)
        except KitError as problem:
            reply = self.build_error_reply(str(problem))
        self.done = reply.done
        if reply.done:
            return self._store_reward_and_hide_grade_if_sealed(reply)
        steps_left = self.max_steps - self.steps
        if steps_left < ANNOUNCE_STEPS_LEFT_BELOW:
            note = "No step is left" if steps_left == 0 else f"Steps left: {steps_left}"
            reply.message = f"{reply.message} {note}."
        return reply

    def compute_or_reuse_slow_result(self, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Compute this step's slow result, or return the stored one when an episode is rebuilt.

        Call this in `execute_action`, at most once per step. A server stores the result with the
        action. When it rebuilds the episode, the stored result is returned and nothing is computed
        again.

        Args:
            compute: computes the result, as JSON values. An error that must be reproduced when the
                episode is rebuilt has to be part of the result.
        """
        stored = self._stored_slow_result
        self.last_slow_result = compute() if stored is None else stored
        return self.last_slow_result

    def repeat_stored_step(
        self, action: Mapping[str, Any], slow_result: dict[str, Any] | None = None
    ) -> Reply:
        """Repeat a step of a stored episode and return the reply.

        Args:
            action: the stored action.
            slow_result: slow result that was stored with the action; None if there was none.
        """
        self._stored_slow_result = slow_result
        try:
            return self.step(action)
        finally:
            self._stored_slow_result = None

    def _build_reply_after_end(self) -> Reply:
        """Return the reply to a step after the end, with reward 0."""
        reply = self.build_episode_over_reply()
        reply.done, reply.reward = True, 0.0
        return self._hide_grade_if_sealed(reply)

    def _hide_grade_if_sealed(self, reply: Reply) -> Reply:
        """Remove everything except the score from a reply after the end of a sealed episode."""
        if self.is_sealed:
            if reply.observation_fields:
                reply.observation_fields = self.build_sealed_end_fields(self._final_reward)
            if reply.info is not None:
                reply.info = self.build_sealed_end_info(self._final_reward, reply.message)
        return reply

    def _store_reward_and_hide_grade_if_sealed(self, reply: Reply) -> Reply:
        """Store the final reward. In a sealed episode, remove everything except the score."""
        self._final_reward = reply.reward
        if self.is_sealed:
            reply.message = f"The episode is over. Score: {reply.reward or 0.0:.4f}."
            reply.observation_fields = self.build_sealed_end_fields(reply.reward)
            reply.info = self.build_sealed_end_info(reply.reward, None)
        return reply

    def state(self) -> BaseModel:
        """Return the public state of the episode, without the episode id."""
        if not self.task_id:
            return self.state_model()
        return self.state_model(
            step_count=self.steps,
            task_id=self.task_id,
            max_steps=self.max_steps,
            status=EpisodeStatus.COMPLETED if self.done else EpisodeStatus.RUNNING,
            **self.build_extra_state_fields(),
        )
