"""FirewatchEnv as the kit sees it: one object, found by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from firewatch_env import __version__
from firewatch_env.policies.registry import POLICIES
from firewatch_env.session import Reply as Answer
from firewatch_env.session import Session
from firewatch_env.tasks.book import PUBLIC_SPLITS, VERSION, admitted, arguments_of, find
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import MAX_TICKS
from firewatch_env.told import told
from firewatch_env.tools import BRIEF, CATALOGUE, introduction
from openenv_kit.environment import ERROR, Environment, Reply, WireModels
from openenv_kit.errors import require_integer, require_name, unknown_name_message
from openenv_kit.play.panel import scores_of
from openenv_kit.play.policies import Policy
from openenv_kit.trust.splits import HashedTask

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes
    from openenv_kit.trust.audit import Audit
    from openenv_kit.trust.exploits import Exploit

RESET_ARGUMENTS = ("episode_id", "task_id", "difficulty", "seed", "split", "index")
RUNNING, COMPLETED = "running", "completed"


class Progress(BaseModel):
    """How far an incident is."""

    step_count: int = 0
    task_id: str | None = None
    difficulty: str | None = None
    status: str = "idle"
    max_steps: int = 0


class FirewatchSession:
    """One play, in the kit's terms."""

    def __init__(self) -> None:
        from firewatch_env.policies.par import par

        self._session = Session(find, par)

    @property
    def task_id(self) -> str:
        """Task of the running episode."""
        task = self._session.task
        return "" if task is None else task.task_id

    @property
    def done(self) -> bool:
        """Whether an episode was started and is over."""
        return bool(self._session.state()["done"])

    def reset(self, **arguments: Any) -> Reply:
        """Start an incident; wrong arguments leave the running one as it was."""
        given = {name: value for name, value in arguments.items() if value is not None}
        if unknown := [name for name in given if name not in RESET_ARGUMENTS]:
            problem = unknown_name_message("reset argument", unknown[0], RESET_ARGUMENTS)
            return Reply(ERROR, problem, None, self.done, info={"error": problem})
        answer = self._session.reset(**given)
        if answer.info["error"]:
            return _reply(answer, answer.info["error"])
        state = self._session.state()
        level, ticks = state["difficulty"].capitalize(), state["max_ticks"]
        return _reply(answer, f"{level} incident: {ticks} ticks of 30 seconds, one a step.")

    def step(self, action: Mapping[str, Any]) -> Reply:
        """One action, one tick."""
        answer = self._session.step(action)
        return _reply(answer, answer.info["error"] or answer.info["action_feedback"])

    def state(self) -> Progress:
        """Public progress."""
        told = self._session.state()
        if told["task_id"] is None:
            return Progress()
        return Progress(
            step_count=told["step_count"],
            task_id=told["task_id"],
            difficulty=told["difficulty"],
            status=COMPLETED if told["done"] else RUNNING,
            max_steps=told["max_ticks"],
        )

    def identity(self) -> dict[str, Any]:
        """What makes the incident."""
        task = self._session.task
        return {} if task is None else {"version": VERSION, "reset": arguments_of(task)}


def _reply(answer: Answer, message: str) -> Reply:
    status = ERROR if answer.info["error"] else COMPLETED if answer.done else RUNNING
    content = {**answer.observation, "score_parts": answer.info.get("score_parts")}
    return Reply(status, message, answer.reward, answer.done, content, dict(answer.info))


class FirewatchSplits:
    """The public splits of generated tasks."""

    def names(self) -> Sequence[str]:
        """Splits that can be played."""
        return PUBLIC_SPLITS

    def size(self, split: str) -> int:
        """Number of tasks; raises UnknownNameError."""
        return len(admitted()[require_name("split", split, PUBLIC_SPLITS)])

    def task(self, split: str, index: int) -> HashedTask[None]:
        """One task; raises UnknownNameError or InvalidValueError."""
        return HashedTask(split, require_integer("index", index, 0, self.size(split) - 1), None)


class Firewatch(Environment):
    """Incidents in a service graph; see `openenv_kit.environment.Environment`."""

    name = "firewatch"
    benchmark = "firewatch-env"
    title = "FirewatchEnv"
    description = (
        "An on-call engineer's job: services of a call graph fail; investigate with logs, metrics "
        "and traces, repair, and declare the incident over before customers lose patience."
    )
    version = __version__
    versions: Mapping[str, str] = {"tasks": VERSION}
    tools = CATALOGUE
    reset_arguments: Sequence[str] = RESET_ARGUMENTS
    rules: Mapping[str, int] = {}
    most_steps = model_rounds = max(MAX_TICKS.values())
    anonymous = True  # existing clients send no episode id
    splits = FirewatchSplits()
    policies: Mapping[str, Policy] = POLICIES
    default_tasks: Sequence[str] = (
        "task_easy_oom_baseline",
        "task_medium_cascade_memleak",
        "task_hard_config_drift_noise",
    )

    @property
    def tasks(self) -> Mapping[str, Mapping[str, Any]]:
        """The 60 named tasks."""
        return {name: {"task_id": name, "seed": named.seed} for name, named in NAMED.items()}

    @property
    def exploits(self) -> Mapping[str, Exploit]:
        """Blind players, and one that obeys log lines."""
        from firewatch_env.exploits import EXPLOITS

        return EXPLOITS

    @property
    def audit(self) -> Audit:
        """On the named tasks and the splits."""
        from firewatch_env.exploits import FirewatchAudit

        return FirewatchAudit(self)

    @cached_property
    def models(self) -> WireModels:
        """The typed face."""
        from firewatch_env.models import FirewatchAction, FirewatchObservation, FirewatchState

        return WireModels(FirewatchAction, FirewatchObservation, FirewatchState)

    @property
    def page(self) -> Scenes:
        """The page at /web."""
        from firewatch_env.page.scenes import FirewatchScenes

        return FirewatchScenes(self)

    def brief(self, opening: Mapping[str, Any] | None = None) -> str:
        """The system prompt: how to work, and the manual."""
        return BRIEF

    def introduction(self, opening: Mapping[str, Any]) -> str:
        """The situation at reset."""
        return introduction(opening)

    def told(self, introduction: str, answer: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The observation, as far as a model is told of it."""
        return told(introduction, answer)

    def session(self, *, debug: bool = False) -> FirewatchSession:
        """A new session; there is no debug mode."""
        return FirewatchSession()

    def groups(self, reset: Mapping[str, Any]) -> Mapping[str, str]:
        return {"level": find(reset).difficulty}

    def panel_scores(self, reset: Mapping[str, Any]) -> Mapping[str, float]:
        """See `openenv_kit.play.panel`; another panel changes only with the tasks' version."""
        return scores_of(self, ("reference", "keyword_rules", "spray", "random"), reset)

    def score_parts(self, observation: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Impact, precision and closure, and what they were made from."""
        parts: Mapping[str, Any] | None = observation.get("score_parts")
        return parts


ENVIRONMENT = Firewatch()
