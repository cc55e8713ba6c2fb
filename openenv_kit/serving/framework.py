"""An environment in the framework's terms, and how a server starts an episode of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from openenv.core.env_server.interfaces import Environment as FrameworkInterface
from openenv.core.env_server.types import EnvironmentMetadata

from openenv_kit.environment import ERROR, Environment, Reply, Session, get_environment
from openenv_kit.errors import (
    ConfigurationError,
    InvalidValueError,
    KitError,
    UnknownNameError,
)
from openenv_kit.play.driver import observed
from openenv_kit.serving.handles import check_episode_id
from openenv_kit.serving.settings import Settings, settings
from openenv_kit.trust.sealing import SEALED

T = TypeVar("T")

PREVIEW = 100
"""Tasks that `list_tasks` shows of a split."""

MAKER = ThreadPoolExecutor(1, "episode-maker")
"""Makes episodes that take long; one at a time, so that steps wait for one thread at most."""

STEPPER = ThreadPoolExecutor(8, "long-step")
"""Takes the steps of episodes in which one may work for long."""


class FrameworkEnvironment(FrameworkInterface[Any, Any, Any]):
    """One session of an environment behind the framework's interface.

    The constructor is cheap: the framework makes an object for every metadata request. Our own
    routes do not go through it; they call the session.

    Args:
        environment: what is played; None for the one that ENVIRONMENT names.
        limits: the server's settings; None for the process's own.
        debug: whether replies show the answers; None for what the settings say.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    # One thread for all constructors instead of one for each session.
    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    def __init__(
        self,
        environment: Environment | None = None,
        limits: Settings | None = None,
        *,
        debug: bool | None = None,
    ) -> None:
        self._rubric: Any = None
        super().__init__()
        self._environment = environment or get_environment()
        self._limits = limits or settings()
        self.session = self._environment.session(
            debug=self._limits.debug if debug is None else debug
        )
        self._episode_id: str | None = None

    @property
    def rubric(self) -> Any:
        """The grader as a tree, if there is one; made when first asked for."""
        if self._rubric is None and self._environment.models.rubric is not None:
            self._rubric = self._environment.models.rubric()
        return self._rubric

    @rubric.setter
    def rubric(self, rubric: Any) -> None:
        self._rubric = rubric

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Any:
        """Start an episode; bad settings are an `error` observation and change nothing.

        Args:
            seed: the episode's seed; None for the task's own.
            episode_id: name of the episode in `state`; None for a fresh one.
            kwargs: the environment's other reset arguments.
        """
        named = {"seed": seed, "episode_id": episode_id}
        arguments = {**{k: v for k, v in named.items() if v is not None}, **kwargs}
        reply = begin(self._environment, self.session, arguments, self._limits)
        if reply.status == ERROR:
            return self._observation(reply)
        if self._rubric is not None:
            self._rubric.reset()
        self._episode_id = episode_id or str(uuid.uuid4())
        return self._observation(reply, {"episode_id": self._episode_id})

    def step(self, action: Any, timeout_s: float | None = None, **kwargs: Any) -> Any:
        """One step.

        Args:
            action: an action of the environment's model, or a mapping as it arrived; what is wrong
                with it is the observation's message.
            timeout_s: the framework's; unused, because a step does not wait for anything.
            kwargs: the framework's; unused.
        """
        reply = self.session.step(action if isinstance(action, Mapping) else dict(action))
        graded = reply.done and self._environment.score_parts(observed(reply)) is not None
        if graded and self.rubric is not None:
            reply = replace(reply, reward=self._apply_rubric(action, self._observation(reply)))
        return self._observation(reply)

    def list_splits(self) -> list[dict[str, str]]:
        """Splits that can be played here; a sealed one is a test split.

        A name may begin with that of a tier: `drill_test` is a test split.
        """
        names = self._environment.splits.names()
        kinds = [name.rpartition("_")[2] for name in names]
        return [
            {"name": name, "type": "test" if kind == SEALED else kind}
            for name, kind in zip(names, kinds, strict=True)
        ]

    def num_tasks(self, split: str) -> int:
        """Number of tasks of a split."""
        return _looked_up(lambda: self._environment.splits.size(split))

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """The first tasks of a split, as a preview; `num_tasks` gives the total."""
        return self.get_task_range(split, 0, PREVIEW)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """One task of a split."""
        return _looked_up(lambda: self._environment.splits.task(split, index).as_dict())

    def get_task_range(
        self, split: str, start: int | None = None, stop: int | None = None
    ) -> list[dict[str, Any]]:
        """Tasks between two positions, with Python's slice rules."""
        chosen = range(self.num_tasks(split))[start:stop]
        return [self.get_task(split, index) for index in chosen]

    @property
    def state(self) -> Any:
        """Public progress, with the episode's id."""
        progress = self.session.state().model_dump(exclude={"episode_id"})
        return self._environment.models.state(episode_id=self._episode_id, **progress)

    def get_metadata(self) -> EnvironmentMetadata:
        """Name, description and version."""
        told = self._environment
        return EnvironmentMetadata(
            name=told.benchmark, description=told.description, version=told.version
        )

    def _observation(self, reply: Reply, metadata: dict[str, Any] | None = None) -> Any:
        fields = {
            **self._environment.observation(reply, self.session.task_id),
            "metadata": {**(metadata or {}), **(reply.info or {})},
            "reward": reply.reward,
            "done": reply.done,
        }
        return self._environment.models.observation(**fields)


async def prepare(environment: Environment, arguments: Mapping[str, Any]) -> None:
    """Make an episode that takes long ahead of its reset, while other sessions go on.

    Whatever is wrong with the arguments is left for the reset to answer.
    """
    given = {name: value for name, value in arguments.items() if name != "episode_id"}
    make = environment.preparation(given)
    if make is not None:
        with suppress(KitError):
            await asyncio.get_running_loop().run_in_executor(MAKER, make)


async def worked(environment: Environment, episode: Mapping[str, Any], work: Callable[[], T]) -> T:
    """Do some work on a play, in a thread where its steps may take long.

    Args:
        environment: what is played.
        episode: arguments of the play's reset.
        work: such as a step.
    """
    if not environment.works_long(episode):
        return work()
    doing = asyncio.get_running_loop().run_in_executor(STEPPER, work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])  # nobody may save or play what is still being changed
        raise


def begin(
    environment: Environment, session: Session, arguments: Mapping[str, Any], limits: Settings
) -> Reply:
    """Start an episode within the server's limits; what is refused changes nothing.

    Args:
        environment: what is played.
        session: where the episode is started.
        arguments: of the reset, as they arrived; `episode_id` is checked and left to the caller.
        limits: the server's settings.
    """
    allowed = environment.reset_arguments
    try:
        for name in arguments:
            if name not in allowed:
                raise UnknownNameError("reset argument", name, allowed)
        check_episode_id(arguments.get("episode_id"))
        given = {name: value for name, value in arguments.items() if name != "episode_id"}
        limit_rules(given, environment, limits)
    except ConfigurationError as problem:
        return Reply(ERROR, str(problem), done=session.done)
    return session.reset(**given)


def limit_rules(
    arguments: dict[str, Any],
    environment: Environment | None = None,
    limits: Settings | None = None,
) -> None:
    """Hold a reset's rules of play against the server's limits; fill in what they lower.

    Args:
        arguments: of the reset.
        environment: None for the one that ENVIRONMENT names.
        limits: None for the process's own settings.

    Raises:
        InvalidValueError: more than the server allows.
    """
    limits = limits or settings()
    for name, usual in (environment or get_environment()).rules_for(arguments).items():
        most, given = getattr(limits, name, None), arguments.get(name)
        if most is None:
            continue
        if isinstance(given, int) and given > most:
            raise InvalidValueError(name, given, f"an integer from 1 to {most} on this server")
        if given is None and most < usual:
            arguments[name] = most


def _looked_up(find: Callable[[], T]) -> T:
    """What `find` finds; the framework answers an IndexError with 400, anything else with 500.

    Raises:
        IndexError: no such split or position.
    """
    try:
        return find()
    except ConfigurationError as problem:
        raise IndexError(str(problem)) from None
