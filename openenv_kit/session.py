"""One play of an environment: plain Python, no transport."""

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
"""With fewer steps left than this, replies say how many."""


class EpisodeStatus(StrEnum):
    """Where an episode is in its life, as `state` reports it."""

    IDLE = "idle"
    """No episode was started."""
    RUNNING = "running"
    COMPLETED = "completed"
    """Played to its end."""
    CLOSED = "closed"
    """Closed by its player or trainer before its end; only on a server."""


class Session:
    """One play. Every call returns; nothing a player sends raises.

    A subclass provides `start`, `act` and `identity`. Steps are counted, limited and, when they
    come too late, answered here. Two rules protect the score whatever a subclass returns: a step
    after the end has reward 0, and the end of a sealed episode shows nothing but the score.

    Attributes:
        is_sealed: whether the running episode belongs to a sealed split.
        task_id: task of the running episode; empty before the first one.
        steps: taken since its reset.
        max_steps: allowed; one more ends the episode with nothing graded.
        done: whether an episode was started and is over.
        last_slow_result: result of the last step's slow computation; None if it had none. A server
            stores it with the action, see `slow_result`.
    """

    last_slow_result: dict[str, Any] | None = None
    _stored_slow_result: dict[str, Any] | None = None
    state_model: type[BaseModel]
    """Model of `state`, with the fields `step_count`, `task_id`, `max_steps` and `status`."""

    def __init__(self) -> None:
        self.task_id = ""
        self.steps = self.max_steps = 0
        self.done = self.is_sealed = False
        self._final_reward: float | None = None

    def start_episode(self, **arguments: Any) -> Reply:
        """Start an episode: set `task_id` and `max_steps`, and give the reply to the reset.

        Raises:
            KitError: it cannot be made; the running episode must be left as it was.
        """
        raise NotImplementedError

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        """Carry out one step of the running episode; a KitError refuses it, at the cost of a step.

        The action is read here, as it arrived: there is no other way in.
        """
        raise NotImplementedError

    def episode_identity(self) -> Mapping[str, Any]:
        """What makes the episode: configuration and rules of play, JSON-ready. Never shown."""
        raise NotImplementedError

    def extra_state_fields(self) -> Mapping[str, Any]:
        """Further fields of `state`: never a label, a seed or a score in the making."""
        return {}

    @property
    def memory_bytes(self) -> int:
        """Return roughly how many bytes the session keeps alive; a server bounds them in total."""
        return 60_000

    def error_reply(self, message: str) -> Reply:
        """The reply to a call that cannot be carried out."""
        return Reply(ReplyStatus.ERROR, message)

    def no_episode_reply(self) -> Reply:
        """The reply to a step before the first reset."""
        return self.error_reply("No episode is running: call reset first.")

    def episode_over_reply(self) -> Reply:
        """The reply to a step after the end."""
        return Reply(
            ReplyStatus.COMPLETED, "The episode is over: call reset for another one.", done=True
        )

    def step_limit_reply(self) -> Reply:
        """The reply to the step that is one too many."""
        problem = (
            f"More than {self.max_steps} steps were taken (max_steps): the episode ends with "
            "score 0 and nothing was graded."
        )
        return Reply(ReplyStatus.COMPLETED, problem, done=True, info={END_REASON_KEY: "max_steps"})

    def sealed_end_fields(self, score: float | None) -> dict[str, Any]:
        """Return the observation's fields at and after the end of a sealed episode.

        Args:
            score: reward of the final step; the only thing about the grade that may be shown.
        """
        return {}

    def sealed_end_info(self, score: float | None, error: str | None) -> dict[str, Any] | None:
        """Return what a sealed episode's replies contain beside the observation at the end.

        Args:
            score: see `sealed_end_fields`.
            error: why a step was rejected because the episode is over; None at the end itself.
        """
        return None

    def reset(self, **arguments: Any) -> Reply:
        """Start an episode; one that cannot be made leaves the running one as it was."""
        try:
            if problem := describe_unencodable_text(arguments, "reset"):
                raise UnencodableTextError(problem)
            reply = self.start_episode(**arguments)
        except KitError as problem:
            reply = self.error_reply(str(problem))
            reply.done = self.done
            return self._hide_grade(reply) if self.done else reply
        self.steps, self.done, self._final_reward = 0, reply.done, None
        self.is_sealed = is_sealed_split(arguments.get("split"))
        return reply

    def step(self, action: Mapping[str, Any]) -> Reply:
        """Take one step; rejected ones count too.

        After the end the reply has `done` and reward 0, so that no reward is paid twice. An action
        with text that UTF-8 cannot encode is rejected and does not count, because a server cannot
        store it.
        """
        self.last_slow_result = None
        if not self.task_id:
            return self.no_episode_reply()
        if self.done:
            return self._reject_late_step()
        if problem := describe_unencodable_text(action, "action"):
            return self.error_reply(problem)
        self.steps += 1
        if self.steps > self.max_steps:
            self.done = True
            reply = self.step_limit_reply()
            reply.done = True
            return self._finalize_end_reply(reply)
        try:
            reply = self.execute_action(action)
        except KitError as problem:
            reply = self.error_reply(str(problem))
        self.done = reply.done
        if reply.done:
            return self._finalize_end_reply(reply)
        left = self.max_steps - self.steps
        if left < ANNOUNCE_STEPS_LEFT_BELOW:
            note = "No step is left" if left == 0 else f"Steps left: {left}"
            reply.message = f"{reply.message} {note}."
        return reply

    def compute_slow_result(self, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the result of this step's slow computation; for use in `act`, once in a step.

        A server stores the result with the action, refusals included. When it rebuilds the episode,
        the stored result is returned and nothing is computed again.

        Args:
            compute: makes the result, as JSON-ready values.
        """
        stored = self._stored_slow_result
        self.last_slow_result = compute() if stored is None else stored
        return self.last_slow_result

    def repeat_stored_step(
        self, action: Mapping[str, Any], slow_result: dict[str, Any] | None = None
    ) -> Reply:
        """Repeat a step of a stored episode, with the slow result that was stored with it."""
        self._stored_slow_result = slow_result
        try:
            return self.step(action)
        finally:
            self._stored_slow_result = None

    def _reject_late_step(self) -> Reply:
        """Return the reply to a step after the end, without a reward."""
        reply = self.episode_over_reply()
        reply.done, reply.reward = True, 0.0
        return self._hide_grade(reply)

    def _hide_grade(self, reply: Reply) -> Reply:
        """Remove all but the score of a sealed episode from a reply that rejects a call."""
        if self.is_sealed:
            if reply.observation_fields:
                reply.observation_fields = self.sealed_end_fields(self._final_reward)
            if reply.info is not None:
                reply.info = self.sealed_end_info(self._final_reward, reply.message)
        return reply

    def _finalize_end_reply(self, reply: Reply) -> Reply:
        """Remember the final reward; of a sealed episode, keep nothing but the score."""
        self._final_reward = reply.reward
        if self.is_sealed:
            reply.message = f"The episode is over. Score: {reply.reward or 0.0:.4f}."
            reply.observation_fields = self.sealed_end_fields(reply.reward)
            reply.info = self.sealed_end_info(reply.reward, None)
        return reply

    def state(self) -> BaseModel:
        """Public progress; its fields are those of the environment's state model, without the id.

        `status` is idle, running or completed.
        """
        if not self.task_id:
            return self.state_model()
        return self.state_model(
            step_count=self.steps,
            task_id=self.task_id,
            max_steps=self.max_steps,
            status=EpisodeStatus.COMPLETED if self.done else EpisodeStatus.RUNNING,
            **self.extra_state_fields(),
        )
