"""The environment that the framework serves: a thin shell around the engine's session."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import EnvironmentMetadata

import metric_tracker_rl
from metric_tracker_rl.engine import splits
from metric_tracker_rl.engine.rules import DEFAULT_MAX_STEPS, EpisodeView
from metric_tracker_rl.engine.session import RESET_ARGUMENTS, EpisodeSession, check_episode_id
from metric_tracker_rl.models import (
    MetricTrackerRlAction,
    MetricTrackerRlObservation,
    MetricTrackerRlState,
)
from metric_tracker_rl.rubrics import ReportRubric
from openenv_kit.environment import ERROR, Reply
from openenv_kit.errors import ConfigurationError, InvalidValueError, UnknownNameError
from openenv_kit.serving.settings import settings

T = TypeVar("T")

ENV_NAME = "metric_tracker_rl"
DESCRIPTION = (
    "Find the anomalies hidden in weeks of product-funnel data with read-only analysis "
    "tools, and report their roots; a deterministic grader scores the report in [0, 1]."
)


class MetricTrackerRlEnvironment(
    Environment[MetricTrackerRlAction, MetricTrackerRlObservation, MetricTrackerRlState]
):
    """One session.

    The constructor is cheap: the framework makes an environment for every connection and for
    every metadata request. Steps are sub-millisecond and run on the event loop.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    # One thread for all constructors instead of one for each session.
    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    def __init__(self, *, debug: bool | None = None) -> None:
        self._rubric: ReportRubric | None = None
        super().__init__()
        self._session = EpisodeSession(debug=settings().debug if debug is None else debug)
        self._episode_id: str | None = None

    @property
    def rubric(self) -> ReportRubric:
        """The grader as a tree; made when first asked for, because most sessions never are."""
        if self._rubric is None:
            self._rubric = ReportRubric()
        return self._rubric

    @rubric.setter
    def rubric(self, rubric: ReportRubric | None) -> None:
        self._rubric = rubric

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> MetricTrackerRlObservation:
        """Start an episode; bad settings are an `error` observation and change nothing.

        Args:
            seed: the episode's seed; None for the task's own.
            episode_id: name of the episode in `state`; None for a fresh one.
            kwargs: see `metric_tracker_rl.engine.session.RESET_ARGUMENTS`.
        """
        reply = self.begin({"seed": seed, "episode_id": episode_id, **kwargs})
        named = reply.status != ERROR
        return self._observation(reply, {"episode_id": self._episode_id} if named else None)

    def begin(self, arguments: Mapping[str, Any]) -> Reply:
        """As `reset`, in the engine's terms."""
        unknown = next((name for name in arguments if name not in RESET_ARGUMENTS), None)
        try:
            if unknown is not None:
                raise UnknownNameError("reset argument", unknown, RESET_ARGUMENTS)
            given = {name: value for name, value in arguments.items() if name != "episode_id"}
            requested = check_episode_id(arguments.get("episode_id"))
            limit_rules(given)
        except ConfigurationError as problem:
            return Reply(ERROR, str(problem), done=self._session.done)
        reply = self._session.reset(**given)
        if reply.status != ERROR:
            if self._rubric is not None:
                self._rubric.reset()
            self._episode_id = requested or str(uuid.uuid4())
        return reply

    async def reset_async(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> MetricTrackerRlObservation:
        """As `reset`, without leaving the event loop."""
        return self.reset(seed=seed, episode_id=episode_id, **kwargs)

    def step(
        self,
        action: MetricTrackerRlAction | Mapping[str, Any],
        timeout_s: float | None = None,
        **kwargs: Any,
    ) -> MetricTrackerRlObservation:
        """One analysis step or one submission.

        Args:
            action: an action, or anything else as it arrived; what is wrong with it is the
                observation's message.
            timeout_s: the framework's; steps take less than a millisecond.
            kwargs: the framework's; unused.
        """
        data = dict(action) if isinstance(action, MetricTrackerRlAction) else action
        return self._observation(self._judged(action, self.act_on(data)))

    def act_on(self, data: Mapping[str, Any]) -> Reply:
        """As `step`, in the engine's terms."""
        return self._session.step(data)

    def _judged(self, action: Any, reply: Reply) -> Reply:
        """The reply, its reward read by the rubric where something was graded for good."""
        if not reply.done or "reward_breakdown" not in reply.content:
            return reply
        reward = self._apply_rubric(action, self._observation(reply))
        return dataclasses.replace(reply, reward=reward)

    async def step_async(
        self,
        action: MetricTrackerRlAction | Mapping[str, Any],
        timeout_s: float | None = None,
        **kwargs: Any,
    ) -> MetricTrackerRlObservation:
        """As `step`, without leaving the event loop."""
        return self.step(action, timeout_s, **kwargs)

    def list_splits(self) -> list[dict[str, str]]:
        """Splits that can be played here; the sealed one is a test split."""
        kinds = {splits.SEALED: "test"}
        return [{"name": name, "type": kinds.get(name, name)} for name in splits.list_splits()]

    def num_tasks(self, split: str) -> int:
        """Number of tasks of a split."""
        return _looked_up(lambda: splits.num_tasks(split))

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """The first tasks of a split, as a preview; `num_tasks` gives the total."""
        return _looked_up(lambda: [task.as_dict() for task in splits.list_tasks(split)])

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """One task of a split."""
        return _looked_up(lambda: splits.get_task(split, index).as_dict())

    def get_task_range(
        self, split: str, start: int | None = None, stop: int | None = None
    ) -> list[dict[str, Any]]:
        """Tasks between two positions, with Python's slice rules."""
        tasks = _looked_up(lambda: splits.get_task_range(split, start, stop))
        return [task.as_dict() for task in tasks]

    @property
    def episode_id(self) -> str | None:
        """Name of the running episode."""
        return self._episode_id

    def identity(self) -> Mapping[str, Any]:
        """What makes the running episode; empty before a reset, and never shown."""
        return self._session.identity()

    @property
    def view(self) -> EpisodeView | None:
        """The running episode and its rules of play; None before a reset."""
        return self._session.view

    @property
    def task_id(self) -> str:
        """Task of the running episode."""
        return self._session.task_id

    @property
    def state(self) -> MetricTrackerRlState:
        """Public progress: the episode's id, steps and submissions."""
        progress = self._session.state().model_dump()
        running = None if self._session.view is None else self._episode_id
        return MetricTrackerRlState(episode_id=running, **progress)

    def get_metadata(self) -> EnvironmentMetadata:
        """Name, description and version."""
        return EnvironmentMetadata(
            name=ENV_NAME, description=DESCRIPTION, version=metric_tracker_rl.__version__
        )

    def _observation(
        self, reply: Reply, metadata: dict[str, Any] | None = None
    ) -> MetricTrackerRlObservation:
        return MetricTrackerRlObservation(
            metadata=metadata or {},
            task_id=self._session.task_id,
            status=reply.status,
            message=reply.message,
            reward=reply.reward,
            done=reply.done,
            **reply.content,
        )


def _looked_up(find: Callable[[], T]) -> T:
    """What `find` finds; the framework answers an IndexError with 400, anything else with 500.

    Raises:
        IndexError: no such split or position.
    """
    try:
        return find()
    except ConfigurationError as problem:
        raise IndexError(str(problem)) from None


def limit_rules(arguments: dict[str, Any]) -> None:
    """Hold a reset's rules of play against this server's limits; fill in what they lower.

    Raises:
        InvalidValueError: more steps or submissions than the server allows.
    """
    limits = settings()
    for name, most in (
        ("max_steps", limits.max_steps),
        ("max_submissions", limits.max_submissions),
    ):
        given = arguments.get(name)
        if isinstance(given, int) and given > most:
            raise InvalidValueError(name, given, f"an integer from 1 to {most} on this server")
    if arguments.get("max_steps") is None and limits.max_steps < DEFAULT_MAX_STEPS:
        arguments["max_steps"] = limits.max_steps
