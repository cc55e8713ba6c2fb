"""One play: reset, tool calls within a budget, and the report that ends it.

Plain Python that knows no transport. Whatever a caller does wrong comes back as a reply with status
`error`, costs a step and leaves the episode as it was. It costs no call of the budget, except for a
query that is refused: it may have been work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from drilldown_env.building import build_episode
from drilldown_env.config import VERSIONS, DrillConfig
from drilldown_env.episode import Episode
from drilldown_env.grade import Grade, grade
from drilldown_env.grounding import shown
from drilldown_env.report import read_report
from drilldown_env.sql import MAX_EPISODE_STEPS, QueryResult, UnavailableError, execute_query
from drilldown_env.tasks import task_of
from drilldown_env.tools import (
    COUNTED,
    SQL_TOOL,
    SUBMIT,
    ReportArguments,
    find_tool,
    overview,
)
from openenv_kit.byte_cache import ByteCache
from openenv_kit.environment import Reply
from openenv_kit.errors import ToolArgumentError, require_name, truncated_repr
from openenv_kit.reply import EVIDENCE_SHARE_KEY, SCORE_COMPONENTS_KEY, ReplyStatus
from openenv_kit.reset_arguments import (
    DIFFICULTY,
    EPISODE_ID,
    INDEX,
    REWARD,
    SEED,
    SPLIT,
    TASK_ID,
    ArgumentRole,
    ResetArgument,
    index_arguments_by_name,
)
from openenv_kit.rewards import COMMON_REWARDS, Reward
from openenv_kit.session import Session

READY, ANSWERED = "ready", "answered"
MAX_STEPS = 120
CHOOSING = ("task_id", "seed", "difficulty", "product", "split", "index")
RESET_ARGUMENTS = index_arguments_by_name(
    EPISODE_ID,
    TASK_ID,
    SEED,
    DIFFICULTY,
    ResetArgument("product", ArgumentRole.DATA, "string", "name of a product"),
    SPLIT,
    INDEX,
    REWARD,
)
EPISODES: ByteCache[DrillConfig, Episode] = ByteCache(16 << 20, lambda made: made.size_bytes)
"""Episodes that this process made last."""


def episode_of(config: DrillConfig) -> Episode:
    """Return the episode of a configuration, shared by every session that plays it."""
    return EPISODES.get_or_create(config, lambda: build_episode(config))


class Progress(BaseModel):
    """How far a play is."""

    step_count: int = 0
    task_id: str | None = None
    difficulty: str | None = None
    status: str = "idle"
    max_steps: int = MAX_STEPS


class DrillSession(Session):
    """Plays one episode at a time."""

    state_model = Progress

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.sql_steps = 0
        self._reward: str = Reward.GRADED
        self._shown: set[int] = set()
        self.episode: Episode | None = None

    def start_episode(self, **arguments: Any) -> Reply:
        for name, value in arguments.items():
            if value is not None:
                require_name("reset argument", name, RESET_ARGUMENTS)
        reward = arguments.get("reward")
        paid = require_name("reward", Reward.GRADED if reward is None else reward, COMMON_REWARDS)
        task_id, config = _asked(arguments)
        reply = self.open(task_id, episode_of(config))
        self._reward = paid
        return reply

    def open(self, task_id: str, episode: Episode) -> Reply:
        """Start an episode that is already made."""
        self.episode, self.task_id, self.max_steps = episode, task_id, MAX_STEPS
        self.steps, self.done, self._shown = 0, False, set()
        self.calls = self.sql_steps = 0
        self._reward = Reward.GRADED
        config = {**overview(episode), "max_steps": MAX_STEPS, "versions": dict(VERSIONS)}
        content = {"config": config, "calls_left": episode.config.level.budget}
        return Reply(READY, episode.alert, observation_fields=content)

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        episode = self.episode
        if episode is None:
            return self.build_no_episode_reply()
        if not isinstance(action, Mapping):
            raise ToolArgumentError(f"action is {truncated_repr(action)}; allowed: an object.")
        level = episode.config.level
        for name in action:
            require_name("field of an action", name, ("tool", "arguments", "metadata"))
        tool = find_tool(action.get("tool"), level)
        given = action.get("arguments") or {}
        if tool.name == SUBMIT:
            return self._submit(episode, tool.validate_arguments(given))
        counted = tool.name in COUNTED
        if counted and self._left(episode) <= 0:
            raise ToolArgumentError(
                f"All {level.budget} calls that read counts are spent; call {SUBMIT}."
            )
        if tool.name == SQL_TOOL:
            result = self._query(episode, tool.validate_arguments(given).query)
        else:
            result = tool.call(episode, given)
        self.calls += counted
        if counted:
            self._shown |= shown(episode, tool.name, given, result)
        left = self._left(episode)
        said = f"{left} calls left." if counted else "This took no call."
        return Reply(ANSWERED, said, observation_fields={"result": result, "calls_left": left})

    def build_extra_state_fields(self) -> Mapping[str, Any]:
        return {"difficulty": None if self.episode is None else self.episode.config.difficulty}

    @property
    def memory_bytes(self) -> int:
        own = super().memory_bytes
        return own if self.episode is None else own + self.episode.size_bytes

    def build_error_reply(self, message: str) -> Reply:
        content = {} if self.episode is None else {"calls_left": self._left(self.episode)}
        return Reply(ReplyStatus.ERROR, message, observation_fields=content)

    def _query(self, episode: Episode, query: str) -> dict[str, Any]:
        """Return the answer to a query; one that is refused costs a call.

        Raises:
            ToolArgumentError: it was refused, or the episode has no SQLite steps left.
            UnavailableError: it was stopped although nothing is wrong with it.
        """
        steps_left = MAX_EPISODE_STEPS - self.sql_steps
        if steps_left <= 0:
            raise ToolArgumentError(
                f"All {MAX_EPISODE_STEPS:,} SQLite steps of the episode's queries are used up; "
                f"call {SUBMIT}."
            )
        found = QueryResult(
            **self.compute_or_reuse_slow_result(
                lambda: execute_query(episode, query, steps_left)._asdict()
            )
        )
        self.sql_steps += found.steps
        if found.stopped:
            raise UnavailableError(found.stopped)
        if found.answer is None:
            self.calls += 1
            raise ToolArgumentError(
                f"{found.refusal} The query took a call and {found.steps:,} SQLite steps; "
                f"{self._left(episode)} calls and {MAX_EPISODE_STEPS - self.sql_steps:,} steps are "
                "left."
            )
        return found.answer

    def _submit(self, episode: Episode, asked: ReportArguments) -> Reply:
        rows = read_report(asked.rows, episode.domain, episode.dates, episode.log)
        graded = grade(rows, episode.expected_rows, episode.dates)
        said = f"Score {graded.score:.3f}; rows: {len(rows)}, roots: {len(graded.credits)}."
        parts = parts_of(graded, len(rows))
        right = [number for number, credit in enumerate(graded.credits) if credit == 1.0]
        read = len(self._shown.intersection(right)) / len(right) if right else None
        paid = {
            Reward.GRADED.value: graded.score,
            Reward.EXACT.value: float(graded.score == 1.0),
        }
        info = {SCORE_COMPONENTS_KEY: {**paid, "found": parts["found"]}, EVIDENCE_SHARE_KEY: read}
        return Reply(
            ReplyStatus.COMPLETED, said, paid[self._reward], True, {"score_parts": parts}, info
        )

    def _left(self, episode: Episode) -> int:
        return episode.config.level.budget - self.calls

    def build_episode_identity(self) -> dict[str, Any]:
        """What makes the episode; it holds the seed. Empty before a reset."""
        if self.episode is None:
            return {}
        rules = {} if self._reward == Reward.GRADED else {"reward": self._reward}
        return {"config": asdict(self.episode.config), **rules, "versions": dict(VERSIONS)}


def parts_of(graded: Grade, rows: int) -> dict[str, Any]:
    """What a score is made of: shares as floats, counts as integers."""
    exact = graded.credits.count(1.0)
    roots = len(graded.credits)
    return {
        "found": graded.matched / roots if roots else 1.0,
        "cost": graded.cost,
        "rows": rows,
        "roots": roots,
        "exact_rows": exact,
    }


def config_of(reset: Mapping[str, Any]) -> DrillConfig:
    """Configuration of the episode that these reset arguments start.

    Raises:
        UnknownNameError, InvalidValueError: they start none.
    """
    return _asked(reset)[1]


def _asked(reset: Mapping[str, Any]) -> tuple[str, DrillConfig]:
    return task_of(**{name: reset.get(name) for name in CHOOSING})
