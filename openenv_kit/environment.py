"""What an environment provides, and nothing else: two protocols and the values they exchange.

A `Session` is one play: plain Python, no transport. An `Environment` makes sessions and says
what every front door needs to know about them. The kit imports no environment; it finds them
by name through the entry-point group `openenv_kit.environments`:

```toml
[project.entry-points."openenv_kit.environments"]
my_game = "my_game.environment:ENVIRONMENT"
```
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from openenv_kit.errors import UnknownNameError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from openenv_kit.page.scenes import Scenes
    from openenv_kit.play.policies import Policy
    from openenv_kit.tools.catalogue import Catalogue
    from openenv_kit.trust.audit import Audit
    from openenv_kit.trust.certify import Certifier
    from openenv_kit.trust.exploits import Exploit
    from openenv_kit.trust.splits import Splits

GROUP = "openenv_kit.environments"
VARIABLE, DEFAULT = "ENVIRONMENT", "metric_tracker_rl"
MOST_STEPS = 500
"""Longest play of an environment that says nothing of its length."""
MODEL_ROUNDS = 16
"""Answers that are enough for most investigations."""
ERROR = "error"
"""Status of a reply to a call that could not be carried out."""


@dataclass(slots=True)
class Reply:
    """What a reset or a step answers.

    Attributes:
        status: a word of the environment's own; `error` where the call was refused.
        message: one or two sentences, written for the player.
        reward: of this step; the score on the last one. None where a reset has none to tell.
        done: whether the episode is over.
        content: the observation's fields that this reply fills; the others keep their defaults.
        info: what is told beside the observation: `info` over HTTP, `metadata` on a WebSocket.
    """

    status: str
    message: str
    reward: float | None = 0.0
    done: bool = False
    content: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] | None = None


class Session(Protocol):
    """One play. Every call returns; nothing a player sends raises."""

    @property
    def task_id(self) -> str:
        """Task of the running episode."""

    @property
    def done(self) -> bool:
        """Whether an episode was started and is over."""

    def reset(self, **arguments: Any) -> Reply:
        """Start an episode; one that cannot be made leaves the running one as it was."""

    def step(self, action: Mapping[str, Any]) -> Reply:
        """One step. The action is read here, as it arrived: there is no other way in."""

    def state(self) -> BaseModel:
        """Public progress: never a label, a seed or a score in the making.

        Fields are those of the environment's state model without the episode's id, among them
        `step_count`, `task_id`, `max_steps` and `status` (idle, running or completed).
        """

    def identity(self) -> Mapping[str, Any]:
        """What makes the episode: configuration and rules of play, JSON-ready. Never shown."""


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


class Cache(Protocol):
    """Episodes that an environment keeps in memory, shared by all sessions of a process."""

    def resize(self, size: int) -> None:
        """Keep so many episodes from now on, starting with none."""

    def misses(self) -> int:
        """How many episodes had to be made so far."""


class Environment(Protocol):
    """Everything the kit asks of an environment. A subclass inherits what has a default.

    Attributes:
        name: what `--environment` and the entry point call it.
        description: one sentence for people.
        version: of its package.
    """

    name: str
    description: str
    version: str

    @property
    def benchmark(self) -> str:
        """What START lines and the server's metadata call it; by default its name."""
        return self.name

    @property
    def title(self) -> str:
        """What people call it; by default its name."""
        return self.name

    @property
    def versions(self) -> Mapping[str, str]:
        """What decides bytes, labels and scores, by name; numbers of different ones never mix."""

    def versions_for(self, episode: Mapping[str, Any]) -> Mapping[str, str]:
        """Versions of what these reset arguments start; by default always the same."""
        return self.versions

    @property
    def models(self) -> WireModels:
        """The typed face. A property, so that a player in process loads no framework."""

    @property
    def tools(self) -> Catalogue:
        """The one list of tools; doors give what is `offered` in the episode that they play."""

    @property
    def reset_arguments(self) -> Sequence[str]:
        """Names that a reset takes, `episode_id` among them."""

    @property
    def rules(self) -> Mapping[str, int]:
        """Reset arguments that limit the play, with their defaults; a server may lower them."""

    def rules_for(self, episode: Mapping[str, Any]) -> Mapping[str, int]:
        """Rules of the episode that these reset arguments start; by default always the same."""
        return self.rules

    @property
    def most_steps(self) -> int:
        """Steps of the longest episode; a trainer ends a play after so many turns."""
        return self.rules.get("max_steps", MOST_STEPS)

    @property
    def model_rounds(self) -> int:
        """Answers that a model has for an episode, where MAX_TOOL_ROUNDS is not set."""
        return MODEL_ROUNDS

    def rounds_for(self, opening: Mapping[str, Any]) -> int:
        """The same for the episode with this opening."""
        return self.model_rounds

    @property
    def tasks(self) -> Mapping[str, Mapping[str, Any]]:
        """Arguments of the reset of each named task; by default three of the first split."""
        first = self.splits.names()[0]
        tasks = (self.splits.task(first, index) for index in range(3))
        return {task.task_id: task.reset_arguments() for task in tasks}

    @property
    def default_tasks(self) -> Sequence[str]:
        """Tasks of a run that names none; by default every named one."""
        return list(self.tasks)

    @property
    def splits(self) -> Splits:
        """Tasks by split."""

    @property
    def policies(self) -> Mapping[str, Policy]:
        """Scripted players; `reference` is one of them."""

    @property
    def exploits(self) -> Mapping[str, Exploit]:
        """Adversarial players, each with the ceiling it must stay under; by default none."""
        return {}

    @property
    def audit(self) -> Audit | None:
        """How its exploits are audited; None, the default, for an audit on its splits."""
        return None

    @property
    def certifier(self) -> Certifier | None:
        """How its episodes are proven fair; None, the default, where they are not."""
        return None

    @property
    def commands(self) -> Mapping[str, str]:
        """Commands of its own: by name, where each one's function is, as `module:function`."""
        return {}

    @property
    def cache(self) -> Cache | None:
        """Episodes kept in memory; None, the default, where making one again is cheap."""
        return None

    def make_ahead(self, episodes: Sequence[Mapping[str, Any]]) -> None:
        """Make episodes of resets for the cache, together; wrong ones are left. By default none."""
        return

    def preparation(self, episode: Mapping[str, Any]) -> Callable[[], object] | None:
        """What makes the episode of these reset arguments ahead of the reset, in a thread.

        It may raise what the reset will answer. None, the default, where every reset is quick.
        """
        return None

    def works_long(self, episode: Mapping[str, Any]) -> bool:
        """Whether a step may work for long in the episode that these reset arguments start.

        A server takes its steps in a thread, while other sessions go on. By default none does.
        """
        return False

    @property
    def page(self) -> Scenes | None:
        """Its own part of the debugger at /web, loaded only there; by default the generic one."""
        return None

    @property
    def anonymous(self) -> bool:
        """Whether plain HTTP clients may play without an episode id, one episode each."""
        return False

    def brief(self, opening: Mapping[str, Any] | None = None) -> str:
        """The one system prompt of the episode with this reset's observation or arguments."""

    def introduction(self, opening: Mapping[str, Any]) -> str:
        """The first user message of an episode; by default the message of its reset."""
        return str(opening["message"])

    def told(self, introduction: str, answer: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """What a policy reads that stands in for a model: its first message and the last answer."""
        return {} if answer is None else self.tools.observed(answer)

    def session(self, *, debug: bool = False) -> Session:
        """A new session; cheap."""

    def score_parts(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What a final observation's score is made of: shares as floats, counts as integers.

        None where nothing was graded. By default every episode is graded at its end, in one piece.
        """
        return {} if observation.get("done") else None

    def groups(self, reset: Mapping[str, Any]) -> Mapping[str, str]:
        """What results are told by, such as `{"level": "hard"}`, of an episode's reset."""
        return {}

    def observation(self, reply: Reply, task_id: str) -> dict[str, Any]:
        """Every field of the observation that a reply stands for; values may be models."""
        return {
            **_empty(self.models),
            "task_id": task_id,
            "status": reply.status,
            "message": reply.message,
            **reply.content,
        }


@cache
def _empty(models: WireModels) -> dict[str, Any]:
    """Every field of an observation that says nothing."""
    empty: dict[str, Any] = models.observation().model_dump(exclude={"reward", "done"})
    return empty


@cache
def environments() -> dict[str, Any]:
    """Entry points of every environment that is installed, by name, unloaded."""
    return {each.name: each for each in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def siblings(name: str) -> Sequence[str]:
    """Names of the other environments that the same distribution installs; none for an unknown."""
    found = environments()
    home = found[name].dist if name in found else None
    if home is None:
        return ()
    return [n for n, each in found.items() if n != name and each.dist.name == home.name]


@cache
def get_environment(name: str | None = None) -> Environment:
    """The environment of that name.

    Args:
        name: None for what the variable ENVIRONMENT names, or else Metric Tracker RL.

    Raises:
        UnknownNameError: none of that name is installed; names the nearest.
    """
    wanted = name or os.environ.get(VARIABLE) or DEFAULT
    found = environments()
    if wanted not in found:
        raise UnknownNameError("environment", wanted, found)
    loaded: Environment = found[wanted].load()
    return loaded
