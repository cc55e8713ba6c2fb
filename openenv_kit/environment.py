"""What an environment provides: sessions, and what every front door needs to know about them.

A `Session` is one play: plain Python, no transport. An `Environment` makes sessions, and holds
the tools, tasks, policies and proofs that go with them. The kit imports no environment; it finds
them by name through the entry-point group `openenv_kit.environments`:

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
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from openenv_kit.errors import UnknownNameError
from openenv_kit.reply import Reply as Reply
from openenv_kit.reply import ReplyStatus as ReplyStatus
from openenv_kit.session import Session as Session

if TYPE_CHECKING:
    from openenv_kit.page.environment_view import EnvironmentView
    from openenv_kit.reset_arguments import ResetArgument
    from openenv_kit.rollouts.policies import Policy
    from openenv_kit.splits import Splits
    from openenv_kit.tool import Catalogue
    from openenv_kit.trust.audit import Audit
    from openenv_kit.trust.certify import Certifier

ENTRY_POINT_GROUP = "openenv_kit.environments"
ENVIRONMENT_VARIABLE, DEFAULT_ENVIRONMENT = "ENVIRONMENT", "metric_tracker_rl"
DEFAULT_TASK_COUNT = 3
"""Named tasks of a run that names none."""


@dataclass(frozen=True, eq=False)
class WireModels:
    """The typed face of an environment: the framework's types with its own fields.

    Attributes:
        action, observation, state: pydantic models, as clients and schemas see them.
        rubric: the grader as a tree of the framework's rubrics, if there is one.
    """

    action: type[Any]
    observation: type[Any]
    state: type[Any]
    rubric: type[Any] | None = None


@dataclass(frozen=True)
class EpisodeLimits:
    """How episodes are played.

    Attributes:
        max_steps: of the longest episode that a reset without further arguments starts.
        max_submissions: of such an episode; None where there is no practice.
        max_tool_rounds: answers that a model has for an episode, where MAX_TOOL_ROUNDS is not set.
        may_omit_episode_id: whether plain HTTP clients may play without an episode id, one
            episode each.
    """

    max_steps: int = 500
    max_submissions: int | None = None
    max_tool_rounds: int = 16
    may_omit_episode_id: bool = False


class Environment(Protocol):
    """Everything the kit asks of an environment. A subclass inherits what has a default.

    Attributes:
        name: what `--environment`, the entry point, START lines and results call it.
        description: one sentence for people.
        version: of its package.
    """

    name: str
    description: str
    version: str

    @property
    def title(self) -> str:
        """What people call it; by default its name."""
        return self.name

    @property
    def versions(self) -> Mapping[str, str]:
        """What decides bytes, labels and scores, by name; numbers of different ones never mix."""

    @property
    def wire_models(self) -> WireModels:
        """The typed face. A property, so that a player in process loads no framework."""

    @property
    def tools(self) -> Catalogue:
        """The one list of tools; doors give what is `offered` in the episode that they play."""

    @property
    def reset_arguments(self) -> Mapping[str, ResetArgument]:
        """The arguments that a reset takes, by name; see `reset_arguments_by_name`."""

    @property
    def episode_limits(self) -> EpisodeLimits:
        """How episodes are played; a server may lower limits that are reset arguments."""
        return EpisodeLimits()

    @property
    def tasks(self) -> Mapping[str, Mapping[str, Any]]:
        """Arguments of the reset of each named task; a run that names none plays the first three.

        By default the first three tasks of the first split.
        """
        first = self.splits.names()[0]
        tasks = (self.splits.task(first, index) for index in range(3))
        return {task.task_id: task.reset_arguments() for task in tasks}

    @property
    def splits(self) -> Splits:
        """Tasks by split."""

    @property
    def policies(self) -> Mapping[str, Policy]:
        """Scripted players; `reference` is one of them."""

    @property
    def audit(self) -> Audit:
        """Its adversarial players and where they play; by default none, on its splits."""
        from openenv_kit.trust.audit import Audit

        return Audit(self)

    @property
    def certifier(self) -> Certifier | None:
        """How its episodes are proven fair; None, the default, where they are not."""
        return None

    @property
    def debugger_view(self) -> EnvironmentView | None:
        """Its own part of the debugger at /web, loaded only there; by default the generic one."""
        return None

    def system_prompt(self, reset_fields: Mapping[str, Any] | None = None) -> str:
        """The one system prompt of the episode with this reset's observation or arguments."""

    def create_session(self, *, debug: bool = False) -> Session:
        """A new session; cheap."""

    def result_labels(self, reset: Mapping[str, Any]) -> Mapping[str, str]:
        """What results are grouped by, such as `{"level": "hard"}`, of an episode's reset."""
        return {}

    def score_components(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What a final observation's score is made of: shares as floats, counts as integers.

        None where nothing was graded. By default every episode is graded at its end, in one piece.
        """
        return {} if observation.get("done") else None


def full_observation_from_reply(
    environment: Environment, reply: Reply, task_id: str
) -> dict[str, Any]:
    """Every field of the observation that a reply stands for; values may be models."""
    return {
        **_default_observation_fields(environment.wire_models),
        "task_id": task_id,
        "status": reply.status,
        "message": reply.message,
        **reply.observation_fields,
    }


def default_task_names(environment: Environment) -> list[str]:
    """Named tasks of a run that names none."""
    return list(environment.tasks)[:DEFAULT_TASK_COUNT]


@cache
def _default_observation_fields(models: WireModels) -> dict[str, Any]:
    """Every field of an observation that says nothing."""
    empty: dict[str, Any] = models.observation().model_dump(exclude={"reward", "done"})
    return empty


@cache
def find_environment_entry_points() -> dict[str, Any]:
    """Entry points of every environment that is installed, by name, unloaded."""
    return {
        each.name: each
        for each in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name)
    }


def names_of_same_distribution(name: str) -> Sequence[str]:
    """Names of the other environments that the same distribution installs; none for an unknown."""
    found = find_environment_entry_points()
    home = found[name].dist if name in found else None
    if home is None:
        return ()
    return [n for n, each in found.items() if n != name and each.dist.name == home.name]


@cache
def get_environment(name: str | None = None) -> Environment:
    """The environment of that name.

    Args:
        name: None for what the variable ENVIRONMENT names, or else the default.

    Raises:
        UnknownNameError: none of that name is installed; names the nearest.
    """
    wanted = name or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ENVIRONMENT
    found = find_environment_entry_points()
    if wanted not in found:
        raise UnknownNameError("environment", wanted, found)
    loaded: Environment = found[wanted].load()
    return loaded
