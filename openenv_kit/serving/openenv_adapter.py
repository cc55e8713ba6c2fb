"""Adapter that gives an environment the interface of the OpenEnv framework."""

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
from openenv_kit.errors import ConfigurationError
from openenv_kit.reply import ReplyStatus, observation_from_reply
from openenv_kit.reset_limits import reset_within_server_limits
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving.settings import Settings, current_settings

T = TypeVar("T")

MAX_TASKS_PER_RANGE = 100
"""Maximum number of tasks that one request returns, because each task is computed on request."""


class OpenEnvAdapter(FrameworkInterface[Any, Any, Any]):
    """One session of an environment behind the framework's interface.

    The constructor is cheap, because the framework creates an object for every metadata request.
    The server's own routes call the session directly and do not use this class.

    Args:
        environment: environment to play; None to read its name from the variable ENVIRONMENT.
        settings: settings of the server; None for the settings of this process.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    # The framework then runs all constructors in one thread instead of one thread per session.
    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    def __init__(
        self, environment: Environment | None = None, settings: Settings | None = None
    ) -> None:
        self._environment = environment or get_environment()
        rubric = self._environment.wire_models.rubric
        super().__init__(rubric=None if rubric is None else rubric())
        self._settings = settings or current_settings()
        self.session = self._environment.create_session(debug=self._settings.debug)
        self._episode_id: str | None = None

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Any:
        """Start an episode and return its observation.

        Invalid arguments give an observation with the status `error`, and the current episode
        continues.

        Args:
            seed: seed of the episode; None for the seed of the task.
            episode_id: id of the episode in `state`; None to generate an id.
            kwargs: further reset arguments of the environment.
        """
        arguments = dict(kwargs)
        if seed is not None:
            arguments["seed"] = seed
        if episode_id is not None:
            arguments["episode_id"] = episode_id
        reply = reset_within_server_limits(
            self._environment, self.session, arguments, self._settings
        )
        if reply.status == ReplyStatus.ERROR:
            return self._build_observation(reply)
        self._reset_rubric()
        self._episode_id = episode_id or str(uuid.uuid4())
        return self._build_observation(reply, {"episode_id": self._episode_id})

    def step(self, action: Any, timeout_s: float | None = None, **kwargs: Any) -> Any:
        """Execute one step and return its observation.

        Args:
            action: instance of the environment's action model, or an unvalidated mapping. If the
                mapping is invalid, the observation's message explains the error.
            timeout_s: ignored, because a step does not wait for anything.
            kwargs: ignored.
        """
        was_done = self.session.done
        reply = self.session.step(action if isinstance(action, Mapping) else dict(action))
        if self.rubric is not None and not was_done and self._is_final_graded_reply(reply):
            reward = self._apply_rubric(action, self._build_observation(reply))
            reply = replace(reply, reward=reward)
        return self._build_observation(reply)

    def list_splits(self) -> list[dict[str, str]]:
        """Return the splits of the environment. A sealed split has the type of a test split."""
        names = self._environment.splits.list_playable_split_names()
        return [{"name": name, "type": "test" if is_sealed_split(name) else name} for name in names]

    def num_tasks(self, split: str) -> int:
        """Return the number of tasks of a split."""
        return _look_up_or_raise_index_error(lambda: self._environment.splits.size(split))

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """Return the first tasks of a split, at most `MAX_TASKS_PER_RANGE`."""
        return self.get_task_range(split)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """Return the task at an index of a split."""
        return _look_up_or_raise_index_error(
            lambda: self._environment.splits.task(split, index).as_public_dict()
        )

    def get_task_range(
        self, split: str, start: int | None = None, stop: int | None = None
    ) -> list[dict[str, Any]]:
        """Return the tasks of the slice `start:stop`, at most `MAX_TASKS_PER_RANGE`.

        `num_tasks` returns the total.
        """
        indices = range(self.num_tasks(split))[start:stop][:MAX_TASKS_PER_RANGE]
        return [self.get_task(split, index) for index in indices]

    @property
    def state(self) -> Any:
        """Return the public progress of the episode, with its id."""
        progress = self.session.state().model_dump(exclude={"episode_id"})
        return self._environment.wire_models.state(episode_id=self._episode_id, **progress)

    def get_metadata(self) -> EnvironmentMetadata:
        """Return the name, description and version of the environment."""
        return EnvironmentMetadata(
            name=self._environment.name,
            description=self._environment.description,
            version=self._environment.version,
        )

    def _is_final_graded_reply(self, reply: Reply) -> bool:
        """Return whether a reply ends the episode with a graded report."""
        if not reply.done:
            return False
        return self._environment.extract_score_components(observation_from_reply(reply)) is not None

    def _build_observation(self, reply: Reply, metadata: dict[str, Any] | None = None) -> Any:
        fields = {
            **full_observation_from_reply(self._environment, reply, self.session.task_id),
            "metadata": {**(metadata or {}), **(reply.info or {})},
            "reward": reply.reward,
            "done": reply.done,
        }
        return self._environment.wire_models.observation(**fields)


def _look_up_or_raise_index_error(look_up: Callable[[], T]) -> T:
    """Call a function, and convert its ConfigurationError to an IndexError.

    Raises:
        IndexError: the split or the index is unknown. The framework responds with status 400 to
            an IndexError, and with status 500 to any other exception.
    """
    try:
        return look_up()
    except ConfigurationError as error:
        raise IndexError(str(error)) from None
