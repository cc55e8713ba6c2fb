"""An environment in the framework's terms, and how a server starts an episode of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from openenv.core.env_server.interfaces import Environment as FrameworkInterface
from openenv.core.env_server.types import EnvironmentMetadata

from openenv_kit.environment import (
    Environment,
    Reply,
    full_observation_from_reply,
    get_environment,
)
from openenv_kit.errors import (
    ConfigurationError,
)
from openenv_kit.reply import ReplyStatus, observation_from_reply
from openenv_kit.reset_limits import reset_within_limits
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving.settings import Settings, current_settings

T = TypeVar("T")

MAX_TASKS_PER_RANGE = 100
"""Tasks of a split that are told at a time; each is drawn anew."""


class OpenEnvAdapter(FrameworkInterface[Any, Any, Any]):
    """One session of an environment behind the framework's interface.

    The constructor is cheap: the framework makes an object for every metadata request. Our own
    routes do not go through it; they call the session.

    Args:
        environment: what is played; None for the one that ENVIRONMENT names.
        settings: the server's settings; None for the process's own.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    # One thread for all constructors instead of one for each session.
    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    def __init__(
        self, environment: Environment | None = None, settings: Settings | None = None
    ) -> None:
        self._environment = environment or get_environment()
        rubric = self._environment.wire_models.rubric
        super().__init__(rubric=None if rubric is None else rubric())
        self._limits = settings or current_settings()
        self.session = self._environment.create_session(debug=self._limits.debug)
        self._episode_id: str | None = None

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Any:
        """Start an episode; bad settings are an `error` observation and change nothing.

        Args:
            seed: the episode's seed; None for the task's own.
            episode_id: name of the episode in `state`; None for a fresh one.
            kwargs: the environment's other reset arguments.
        """
        named = {"seed": seed, "episode_id": episode_id}
        arguments = {**{k: v for k, v in named.items() if v is not None}, **kwargs}
        reply = reset_within_limits(self._environment, self.session, arguments, self._limits)
        if reply.status == ReplyStatus.ERROR:
            return self._build_observation(reply)
        self._reset_rubric()
        self._episode_id = episode_id or str(uuid.uuid4())
        return self._build_observation(reply, {"episode_id": self._episode_id})

    def step(self, action: Any, timeout_s: float | None = None, **kwargs: Any) -> Any:
        """One step.

        Args:
            action: an action of the environment's model, or a mapping as it arrived; what is wrong
                with it is the observation's message.
            timeout_s: the framework's; unused, because a step does not wait for anything.
            kwargs: the framework's; unused.
        """
        is_late = self.session.done  # and must not be graded a second time
        reply = self.session.step(action if isinstance(action, Mapping) else dict(action))
        parts = (
            self._environment.score_components(observation_from_reply(reply))
            if reply.done
            else None
        )
        graded = parts is not None and not is_late
        if graded and self.rubric is not None:
            reply = replace(
                reply, reward=self._apply_rubric(action, self._build_observation(reply))
            )
        return self._build_observation(reply)

    def list_splits(self) -> list[dict[str, str]]:
        """Splits that can be played here; a sealed one is a test split."""
        names = self._environment.splits.names()
        return [{"name": name, "type": "test" if is_sealed_split(name) else name} for name in names]

    def num_tasks(self, split: str) -> int:
        """Number of tasks of a split."""
        return _look_up_or_index_error(lambda: self._environment.splits.size(split))

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """The first tasks of a split, as a preview; `num_tasks` gives the total."""
        return self.get_task_range(split)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """One task of a split."""
        return _look_up_or_index_error(
            lambda: self._environment.splits.task(split, index).as_dict()
        )

    def get_task_range(
        self, split: str, start: int | None = None, stop: int | None = None
    ) -> list[dict[str, Any]]:
        """Tasks between two positions, with Python's slice rules; 100 of them at most.

        The next page begins 100 positions later; `num_tasks` gives the total.
        """
        chosen = range(self.num_tasks(split))[start:stop][:MAX_TASKS_PER_RANGE]
        return [self.get_task(split, index) for index in chosen]

    @property
    def state(self) -> Any:
        """Public progress, with the episode's id."""
        progress = self.session.state().model_dump(exclude={"episode_id"})
        return self._environment.wire_models.state(episode_id=self._episode_id, **progress)

    def get_metadata(self) -> EnvironmentMetadata:
        """Name, description and version."""
        played = self._environment
        return EnvironmentMetadata(
            name=played.name, description=played.description, version=played.version
        )

    def _build_observation(self, reply: Reply, metadata: dict[str, Any] | None = None) -> Any:
        fields = {
            **full_observation_from_reply(self._environment, reply, self.session.task_id),
            "metadata": {**(metadata or {}), **(reply.info or {})},
            "reward": reply.reward,
            "done": reply.done,
        }
        return self._environment.wire_models.observation(**fields)


def _look_up_or_index_error(look_up: Callable[[], T]) -> T:
    """What `find` finds; the framework answers an IndexError with 400, anything else with 500.

    Raises:
        IndexError: no such split or position.
    """
    try:
        return look_up()
    except ConfigurationError as problem:
        raise IndexError(str(problem)) from None
