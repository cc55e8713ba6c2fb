"""The interface of an environment and the lookup of installed environments by name.

An `Environment` creates sessions and provides the tools, tasks, policies and certificates that
belong to them. The kit imports no environment. It finds them by name through the entry-point group
`openenv_kit.environments`:

```toml
[project.entry-points."openenv_kit.environments"]
my_game = "my_game.environment:ENVIRONMENT"
```
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol

from openenv_kit.errors import UnknownNameError
from openenv_kit.reply import Reply as Reply
from openenv_kit.reply import ReplyStatus as ReplyStatus
from openenv_kit.session import Session as Session
from openenv_kit.variables import ENVIRONMENT_VARIABLE

if TYPE_CHECKING:
    from openenv.core.env_server.types import Action, Observation, State
    from openenv.core.rubrics import Rubric

    from openenv_kit.catalogue import Catalogue
    from openenv_kit.own_data.support import OwnDataSupport
    from openenv_kit.page.environment_view import EnvironmentView
    from openenv_kit.reset_arguments import ResetArgument
    from openenv_kit.rollouts.policies import Policy
    from openenv_kit.splits import Splits
    from openenv_kit.trust.audit import Audit
    from openenv_kit.trust.certify import Certifier

ENTRY_POINT_GROUP = "openenv_kit.environments"
DEFAULT_ENVIRONMENT = "metric_tracker_rl"
DEFAULT_TASK_COUNT = 3
"""Number of named tasks that a run plays if no tasks are selected."""


@dataclass(frozen=True, eq=False)
class WireModels:
    """The pydantic models of an environment's actions, observations and states.

    Attributes:
        action, observation, state: pydantic models that clients and schemas use.
        rubric: the grader as a tree of the framework's rubrics; None if there is none.
    """

    action: type[Action]
    observation: type[Observation]
    state: type[State]
    rubric: type[Rubric] | None = None


@dataclass(frozen=True)
class EpisodeLimits:
    """Default limits of an environment's episodes.

    Attributes:
        max_steps: largest number of steps of an episode whose reset sets no limit.
        max_submissions: number of submissions that such an episode allows; None if the first
            submission always ends the episode.
        max_tool_rounds: largest number of model responses per episode if MAX_TOOL_ROUNDS is not
            set.
        may_omit_episode_id: whether an HTTP client may play one episode at a time without an
            episode id.
    """

    max_steps: int = 500
    max_submissions: int | None = None
    max_tool_rounds: int = 16
    may_omit_episode_id: bool = False


class Environment(Protocol):
    """A family of tasks with tools, sessions and a grader.

    A subclass only has to override the members that have no default implementation.

    Attributes:
        name: name in `--environment`, the entry point, START lines and results.
        description: one sentence that user interfaces show.
        version: version of the environment's package.
    """

    name: str
    description: str
    version: str

    @property
    def title(self) -> str:
        """Name that user interfaces show; by default `name`."""
        return self.name

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the components that determine episodes, labels and scores, by name.

        Results that were obtained with different versions cannot be compared.
        """

    @property
    def wire_models(self) -> WireModels:
        """Models of actions, observations and states. Their modules are imported on first use."""

    @property
    def tools(self) -> Catalogue:
        """The tools of all episodes; `select_for_episode` returns the tools of one episode."""

    @property
    def reset_arguments(self) -> Mapping[str, ResetArgument]:
        """The arguments that a reset accepts, by name; see `index_arguments_by_name`."""

    @property
    def episode_limits(self) -> EpisodeLimits:
        """Default limits of episodes. A server may lower `max_steps` and `max_submissions`."""
        return EpisodeLimits()

    @property
    def reset_arguments_by_task_id(self) -> Mapping[str, Mapping[str, Any]]:
        """Reset arguments of each named task. By default, these are the first tasks of a split.

        A run that does not select tasks plays the first `DEFAULT_TASK_COUNT` of them.
        """
        split = self.splits.list_playable_split_names()[0]
        tasks = (self.splits.task(split, index) for index in range(DEFAULT_TASK_COUNT))
        return {task.task_id: task.reset_arguments() for task in tasks}

    @property
    def splits(self) -> Splits:
        """The splits of the environment, which generate its numbered tasks."""

    @property
    def policies(self) -> Mapping[str, Policy]:
        """The scripted policies, by name; one of them is called `reference`."""

    @property
    def audit(self) -> Audit:
        """The exploit audit. By default, it covers all splits and has no exploits."""
        from openenv_kit.trust.audit import Audit

        return Audit(self)

    @property
    def certifier(self) -> Certifier | None:
        """Object that certifies episodes; None (the default) if they cannot be certified."""
        return None

    @property
    def own_data(self) -> OwnDataSupport | None:
        """Support for tasks built from users' own tables; None (the default) if not supported."""
        return None

    @property
    def debugger_view(self) -> EnvironmentView | None:
        """Views for the debugger at `/web`; None (the default) to use the generic views."""
        return None

    def build_system_prompt(self, reset_fields: Mapping[str, Any] | None = None) -> str:
        """Return the system prompt of an episode.

        Args:
            reset_fields: observation of the reset or, before the reset, its arguments; None for a
                reset without arguments.
        """

    def create_session(self, *, debug: bool = False) -> Session:
        """Create a session. This must be fast, because sessions are created often.

        Args:
            debug: whether replies contain the answers.
        """

    def build_result_labels(self, reset_arguments: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the labels by which results are grouped, such as `{"level": "hard"}`.

        Args:
            reset_arguments: arguments of the episode's reset.
        """
        return {}

    def extract_score_components(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the components of the score in an observation: shares (float) and counts (int).

        Returns:
            The components by name; None if nothing was graded. The default implementation returns
            an empty dictionary for the last observation of an episode and None for all others.
        """
        return {} if observation.get("done") else None


def full_observation_from_reply(
    environment: Environment, reply: Reply, task_id: str
) -> dict[str, Any]:
    """Convert a reply to an observation with every field of the environment's model.

    Args:
        environment: the environment.
        reply: the reply.
        task_id: id of the task.

    Returns:
        The value of each observation field. Values may be pydantic models.
    """
    return {
        **_build_default_observation_fields(environment.wire_models),
        "task_id": task_id,
        "status": reply.status,
        "message": reply.message,
        **reply.observation_fields,
    }


def list_default_task_names(environment: Environment) -> list[str]:
    """Return the ids of the tasks that a run plays if no tasks are selected."""
    return list(environment.reset_arguments_by_task_id)[:DEFAULT_TASK_COUNT]


@cache
def _build_default_observation_fields(models: WireModels) -> dict[str, Any]:
    return models.observation().model_dump(exclude={"reward", "done"})


@cache
def find_environment_entry_points() -> dict[str, EntryPoint]:
    """Return the entry points of all installed environments by name, without loading them."""
    found = entry_points(group=ENTRY_POINT_GROUP)
    return {entry_point.name: entry_point for entry_point in sorted(found, key=lambda e: e.name)}


def list_environments_in_same_distribution(name: str) -> Sequence[str]:
    """Return the names of the other environments in the same Python distribution.

    The result is empty if no environment has this name.
    """
    by_name = find_environment_entry_points()
    distribution = by_name[name].dist if name in by_name else None
    if distribution is None:
        return ()
    return [
        other_name
        for other_name, entry_point in by_name.items()
        if other_name != name
        and entry_point.dist is not None
        and entry_point.dist.name == distribution.name
    ]


@cache
def get_environment(name: str | None = None) -> Environment:
    """Load an installed environment by its name.

    Args:
        name: name of the environment; None for the value of the variable ENVIRONMENT or, if it is
            not set, `DEFAULT_ENVIRONMENT`.

    Raises:
        UnknownNameError: no installed environment has this name.
    """
    name = name or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ENVIRONMENT
    by_name = find_environment_entry_points()
    if name not in by_name:
        raise UnknownNameError("environment", name, by_name)
    environment: Environment = by_name[name].load()
    return environment
