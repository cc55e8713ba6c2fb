"""Results of episodes and of a whole run, and the results file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from openenv_kit.agent.episode_plan import PlannedEpisode
from openenv_kit.agent.player_episode import TokenUsage
from openenv_kit.agent.redaction import Redact
from openenv_kit.environment import Environment

RESULTS_FORMAT = "metric-tracker-results/1"
MIN_SUCCESS_SCORE = 0.5
"""Smallest score that an END line reports as a success."""
MAX_SAVED_RESULT_CHARACTERS = 500
"""Longest tool result of a conversation in the results file, in characters."""


class RunStatus(StrEnum):
    """Outcome of an episode of a run."""

    EVALUATED = "evaluated"
    NOT_SUBMITTED = "not_submitted"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


FINISHED_STATUSES = (RunStatus.EVALUATED, RunStatus.NOT_SUBMITTED)
"""Statuses of episodes that were played to their end, with or without a report."""


@dataclass
class EpisodeResult:
    """Result of one episode.

    Attributes:
        planned: the episode's task and reset arguments.
        status: how the episode ended.
        score: score in [0, 1]; 0 if no report was graded, None if the episode was not finished.
        seconds: wall time, in seconds.
        breakdown: score components, if a report was graded.
        grounded: evidence share, which is the share of correct rows whose data the player had
            requested; None if unknown.
        error: reason why the episode failed, or a note about how it ended.
        reconnects: how often the connection was lost and restored.
        usage: tokens and cost of the requests to the model.
        rewards: reward of each STEP line.
        hopeless: whether every further episode would fail for the same reason.
        conversation: messages that the model received and sent, with long tool results shortened.
    """

    planned: PlannedEpisode
    status: RunStatus = RunStatus.FAILED
    score: float | None = None
    seconds: float = 0.0
    breakdown: dict[str, Any] | None = None
    grounded: float | None = None
    error: str = ""
    reconnects: int = 0
    usage: TokenUsage = field(default_factory=TokenUsage)
    rewards: list[float] = field(default_factory=list)
    hopeless: bool = False
    conversation: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        """Whether the episode was played to its end, with or without a report."""
        return self.status in FINISHED_STATUSES

    @property
    def is_success(self) -> bool:
        """Whether a report was graded with at least `MIN_SUCCESS_SCORE`."""
        return self.status is RunStatus.EVALUATED and (self.score or 0.0) >= MIN_SUCCESS_SCORE

    @property
    def steps(self) -> int:
        """Number of STEP lines."""
        return len(self.rewards)

    def to_json_object(self) -> dict[str, Any]:
        """Return the episode's entry in the results file."""
        return {
            **vars(self.planned),
            "status": self.status,
            "success": self.is_success,
            "score": self.score,
            "grounded": self.grounded,
            "steps": self.steps,
            "rewards": self.rewards,
            "reconnects": self.reconnects,
            "seconds": round(self.seconds, 3),
            "reward_breakdown": self.breakdown,
            "error": self.error or None,
            "model_calls": self.usage.calls,
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "uncounted_calls": self.usage.uncounted_calls,
            "cost_usd": self.usage.cost,
            "conversation": self.conversation,
        }


def copy_messages_with_truncated_tool_results(
    messages: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Copy a conversation's messages and truncate long tool results in the copies."""
    shortened = [dict(message) for message in messages]
    for message in shortened:
        content = str(message.get("content"))
        if message["role"] == "tool" and len(content) > MAX_SAVED_RESULT_CHARACTERS:
            note = f"… [{len(content)} characters; --record saves all of them]"
            message["content"] = content[:MAX_SAVED_RESULT_CHARACTERS] + note
    return shortened


@dataclass
class RunResult:
    """Result of a whole run.

    Attributes:
        player: `scripted:<policy>`, or the model's name.
        benchmark: name of the environment in START lines.
        server: one line that describes the server.
        episodes: results of the episodes that were started, in the planned order.
        planned_count: number of planned episodes.
        seconds: wall time, in seconds.
        is_interrupted: whether the run was cancelled.
    """

    player: str
    benchmark: str
    server: str
    episodes: Sequence[EpisodeResult]
    planned_count: int
    seconds: float
    is_interrupted: bool = False

    def group_results_by_task(self) -> dict[str, list[EpisodeResult]]:
        """Group the results by task id, in the planned order."""
        groups: dict[str, list[EpisodeResult]] = {}
        for result in self.episodes:
            groups.setdefault(result.planned.task_id, []).append(result)
        return groups

    @property
    def mean_score(self) -> float | None:
        """Mean score of the episodes that have a score; None if no episode has a score."""
        scores = [result.score for result in self.episodes if result.score is not None]
        return sum(scores) / len(scores) if scores else None

    @property
    def unfinished_count(self) -> int:
        """Number of planned episodes that were not played to their end."""
        return self.planned_count - sum(result.is_finished for result in self.episodes)

    @property
    def cost_usd(self) -> float | None:
        """Sum of the known costs, in US dollars; None if no cost is known."""
        costs = [result.usage.cost for result in self.episodes if result.usage.cost is not None]
        return sum(costs) if costs else None

    @property
    def total_tokens(self) -> int:
        """Number of tokens used in all episodes."""
        return sum(result.usage.total_tokens for result in self.episodes)

    def to_json_object(self, environment: Environment) -> dict[str, Any]:
        """Return the content of the results file as a JSON object."""
        return {
            "format": RESULTS_FORMAT,
            "environment": self.benchmark,
            "environment_version": environment.version,
            "versions": dict(environment.versions),
            "player": self.player,
            "server": self.server,
            "average_score": self.mean_score,
            "episodes_planned": self.planned_count,
            "episodes_not_run": self.unfinished_count,
            "interrupted": self.is_interrupted,
            "seconds": round(self.seconds, 3),
            "tokens": self.total_tokens,
            "cost_usd": self.cost_usd,
            "tasks": [result.to_json_object() for result in self.episodes],
        }


def write_results_with_backup(
    result: RunResult, path: Path, redact: Redact, environment: Environment
) -> Path | None:
    """Write the results file; rename a file that already exists at its path.

    Returns:
        New path of the renamed file; None if no file was renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    backup_path = None
    if path.is_file():
        candidates = (path.with_name(f"{path.stem}.{n}{path.suffix}") for n in itertools.count(1))
        backup_path = next(candidate for candidate in candidates if not candidate.exists())
        path.rename(backup_path)
    text = json.dumps(result.to_json_object(environment), indent=2, ensure_ascii=False)
    path.write_text(redact(text) + "\n", encoding="utf-8")
    return backup_path
