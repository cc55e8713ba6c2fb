"""The environment that the framework serves: a thin shell around the engine's session."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import EnvironmentMetadata

import metric_tracker_rl
from metric_tracker_rl import splits
from metric_tracker_rl.errors import ConfigurationError
from metric_tracker_rl.models import (
    MetricTrackerRlAction,
    MetricTrackerRlObservation,
    MetricTrackerRlState,
)
from metric_tracker_rl.session import ERROR, Call, EpisodeSession, Reply, check_episode_id
from server.rubrics import ReportRubric
from server.settings import load_settings
from server.wire import WireAction

T = TypeVar("T")

ENV_NAME = "metric_tracker_rl"
DESCRIPTION = (
    "Find the anomalies hidden in four weeks of product-funnel data with read-only analysis "
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
        super().__init__(rubric=ReportRubric())
        self._session = EpisodeSession(debug=load_settings().debug if debug is None else debug)
        self._episode_id: str | None = None

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> MetricTrackerRlObservation:
        """Start an episode; bad settings are an `error` observation and change nothing.

        Args:
            seed: the episode's seed; None for the task's own.
            episode_id: name of the episode in `state`; None for a fresh one.
            kwargs: see `metric_tracker_rl.session.RESET_ARGUMENTS`.
        """
        try:
            requested = check_episode_id(episode_id)
        except ConfigurationError as problem:
            return self._observation(Reply(ERROR, str(problem)))
        reply = self._session.reset(seed=seed, **kwargs)
        if reply.status != ERROR:
            self._reset_rubric()
            self._episode_id = requested or str(uuid.uuid4())
        return self._observation(reply)

    async def reset_async(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> MetricTrackerRlObservation:
        """As `reset`, without leaving the event loop."""
        return self.reset(seed=seed, episode_id=episode_id, **kwargs)

    def step(
        self,
        action: MetricTrackerRlAction,
        timeout_s: float | None = None,
        **kwargs: Any,
    ) -> MetricTrackerRlObservation:
        """One analysis step or one submission."""
        if isinstance(action, WireAction) and action.problem:
            reply = self._session.refuse(action.problem)
        else:
            reply = self._session.step(call_of(action))
        observation = self._observation(reply)
        if reply.done and observation.reward_breakdown:
            observation.reward = self._apply_rubric(action, observation)
        return observation

    async def step_async(
        self, action: MetricTrackerRlAction, timeout_s: float | None = None, **kwargs: Any
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
    def state(self) -> MetricTrackerRlState:
        """Public progress: the episode's id, steps and submissions."""
        session = self._session
        if session.view is None:
            return MetricTrackerRlState()
        return MetricTrackerRlState(
            episode_id=self._episode_id,
            step_count=session.steps,
            task_id=session.task_id,
            status="completed" if session.done else "running",
            max_steps=session.view.rules.max_steps,
            submissions=session.submissions,
            max_submissions=session.view.rules.max_submissions,
        )

    def get_metadata(self) -> EnvironmentMetadata:
        """Name, description and version."""
        return EnvironmentMetadata(
            name=ENV_NAME, description=DESCRIPTION, version=metric_tracker_rl.__version__
        )

    def _observation(self, reply: Reply) -> MetricTrackerRlObservation:
        return MetricTrackerRlObservation(
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


def call_of(action: MetricTrackerRlAction) -> Call:
    """The engine's view of an action."""
    return Call(
        analysis_method=action.analysis_method,
        analysis_args=action.analysis_args,
        classifications=action.classifications,
        payload_generators=action.payload_generators,
    )
