"""What a run came to: a result per episode and of the whole, as a file and as a table."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import stdev
from typing import Any

from rich import table
from rich.console import Console

from openenv_kit.agent.episode_plan import PlannedEpisode
from openenv_kit.agent.player_episode import TokenUsage
from openenv_kit.agent.redaction import Redact
from openenv_kit.environment import Environment

RESULTS_FORMAT = "metric-tracker-results/1"
EVALUATED = "evaluated"
NOT_SUBMITTED = "not_submitted"
FAILED = "failed"
INTERRUPTED = "interrupted"
MIN_SUCCESS_SCORE = 0.5
"""Lowest score that an END line calls a success."""
MAX_TABLE_ROWS = 40
"""Tasks shown one by one; the results file holds them all."""
MAX_SAVED_RESULT_CHARACTERS = 500
"""Longest tool result of a conversation in the results, in characters; playing again gives it
whole."""


@dataclass
class EpisodeResult:
    """How one episode went.

    Attributes:
        score: in [0, 1], 0 without a report; None unless the episode was played to an end.
        seconds: wall time.
        breakdown: the grader's, if a report was graded.
        grounded: of what was right, the share whose evidence had been read; None if unknown.
        error: why it failed, or a remark on how it ended.
        rewards: of each STEP line.
        reconnects: times the connection was lost and restored.
        hopeless: whether every further episode would fail alike.
        conversation: messages that a model read and wrote, long tool results shortened.
    """

    planned: PlannedEpisode
    status: str = FAILED
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
        """Whether it was played to an end, with or without a report."""
        return self.status in (EVALUATED, NOT_SUBMITTED)

    @property
    def success(self) -> bool:
        """Whether a report was graded with at least `MIN_SUCCESS_SCORE`."""
        return self.status == EVALUATED and (self.score or 0.0) >= MIN_SUCCESS_SCORE

    @property
    def steps(self) -> int:
        """STEP lines printed."""
        return len(self.rewards)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        same = "status success score grounded steps rewards reconnects"
        return {
            **vars(self.planned),
            **{name: getattr(self, name) for name in same.split()},
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


def shorten_tool_results(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages of a conversation with long tool results cut."""
    shortened = [dict(message) for message in messages]
    for message in shortened:
        content = str(message.get("content"))
        if message["role"] == "tool" and len(content) > MAX_SAVED_RESULT_CHARACTERS:
            note = f"… [{len(content)} characters; --record keeps them all]"
            message["content"] = content[:MAX_SAVED_RESULT_CHARACTERS] + note
    return shortened


@dataclass
class RunResult:
    """How a whole run went.

    Attributes:
        player: `scripted:<policy>`, or the model's name.
        benchmark, server: name of the environment as printed, and one line about its server.
        episodes: those that were started, in the order planned.
        planned_count: how many were asked for.
    """

    player: str
    benchmark: str
    server: str
    episodes: Sequence[EpisodeResult]
    planned_count: int
    seconds: float
    is_interrupted: bool = False

    def group_by_task(self) -> dict[str, list[EpisodeResult]]:
        """The episodes of each task, in order."""
        found: dict[str, list[EpisodeResult]] = {}
        for each in self.episodes:
            found.setdefault(each.planned.task_id, []).append(each)
        return found

    @property
    def mean_score(self) -> float | None:
        """Mean score of the episodes that have one; None if none has."""
        scores = [each.score for each in self.episodes if each.score is not None]
        return sum(scores) / len(scores) if scores else None

    @property
    def unfinished_count(self) -> int:
        """Episodes that did not run, or were never started."""
        return self.planned_count - sum(each.is_finished for each in self.episodes)

    @property
    def cost_usd(self) -> float | None:
        """US dollars, as far as known."""
        known = [each.usage.cost for each in self.episodes if each.usage.cost is not None]
        return sum(known) if known else None

    @property
    def total_tokens(self) -> int:
        """Tokens of all episodes."""
        return sum(each.usage.total_tokens for each in self.episodes)

    def as_dict(self, environment: Environment) -> dict[str, Any]:
        """JSON-ready."""
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
            "tasks": [each.as_dict() for each in self.episodes],
        }


def write_results_with_backup(
    result: RunResult, path: Path, redact: Redact, environment: Environment
) -> Path | None:
    """Write the results file; its folder is created if it is missing.

    Returns:
        Where the file of that name that was there before is kept; None if there was none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = None
    if path.is_file():
        names = (path.with_name(f"{path.stem}.{n}{path.suffix}") for n in itertools.count(1))
        kept = next(name for name in names if not name.exists())
        path.rename(kept)
    text = json.dumps(result.as_dict(environment), indent=2, ensure_ascii=False)
    path.write_text(redact(text) + "\n", encoding="utf-8")
    return kept


def print_result_table(result: RunResult, console: Console, redact: Redact) -> None:
    """Score, steps and seconds per task, the average, and what went wrong."""
    titles = ("task", "plays", "status", "score", "steps", "seconds", "tokens")
    columns = titles if result.total_tokens else titles[:-1]
    shown = table.Table(title=f"{result.player} on {result.benchmark}")
    for title in columns:
        left = title in ("task", "status")
        shown.add_column(title, justify="left" if left else "right", no_wrap=title == "task")
    groups = result.group_by_task()
    for task, group in list(groups.items())[:MAX_TABLE_ROWS]:
        shown.add_row(*_format_table_row(task, group)[: len(columns)])
    if len(groups) > MAX_TABLE_ROWS:
        shown.add_row(f"… and {len(groups) - MAX_TABLE_ROWS} more")
    shown.add_section()
    shown.add_row(*_format_table_row("average", result.episodes)[: len(columns)])
    console.print(shown)
    if result.cost_usd is not None:
        console.print(f"Cost: {result.cost_usd:.4f} US dollars.", highlight=False)
    if unplayed := result.planned_count - len(result.episodes):
        console.print(f"Episodes not started: {unplayed}.", highlight=False)
    errors = [f"{each.planned.label}: {each.error}" for each in result.episodes if each.error]
    for text in errors[:MAX_TABLE_ROWS]:
        console.print(redact(text), markup=False, highlight=False, soft_wrap=True)


def _format_table_row(name: str, results: Sequence[EpisodeResult]) -> list[str]:
    """One line of the table: means over some episodes."""
    count = max(len(results), 1)
    statuses = Counter(each.status for each in results)
    scores = [each.score for each in results if each.score is not None]
    repeated = len({each.planned.task_id for each in results}) == 1 and count > 1
    several = repeated and len(scores) > 1
    error = f" ± {stdev(scores) / math.sqrt(len(scores)):.3f}" if several else ""
    return [
        name,
        str(len(results)),
        ", ".join(s if n == count else f"{n} {s}" for s, n in statuses.items()),
        f"{sum(scores) / len(scores):.4f}{error}" if scores else "–",
        f"{sum(each.steps for each in results) / count:.1f}",
        f"{sum(each.seconds for each in results) / count:.2f}",
        f"{sum(each.usage.total_tokens for each in results) / count:,.0f}",
    ]
