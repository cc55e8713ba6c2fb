"""What a run came to: one outcome per episode, and the summary of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from openenv_kit.agent.jobs import Job
from openenv_kit.agent.table import Event, Usage

EVALUATED = "evaluated"
NOT_SUBMITTED = "not_submitted"
FAILED = "failed"
INTERRUPTED = "interrupted"
SUCCESS_SCORE = 0.5
"""Lowest score that an END line calls a success."""


@dataclass
class Outcome:
    """How one episode went.

    Attributes:
        job: which episode.
        status: evaluated, not_submitted, failed or interrupted.
        score: in [0, 1]; 0 unless a report was graded.
        steps: STEP lines printed.
        seconds: wall time.
        rewards: of the steps.
        breakdown: the grader's, if a report was graded.
        error: why it failed, or a remark on how it ended.
        reconnects: times the environment was lost and found again.
        tool_calls: analysis steps.
        reply_bytes: bytes of the replies to all steps, in canonical form.
    """

    job: Job
    status: str = FAILED
    score: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    rewards: list[float] = field(default_factory=list)
    breakdown: dict[str, Any] | None = None
    error: str = ""
    reconnects: int = 0
    tool_calls: int = 0
    reply_bytes: int = 0
    usage: Usage = field(default_factory=Usage)
    events: list[Event] = field(default_factory=list)

    @property
    def success(self) -> bool:
        """Whether a report was graded with at least `SUCCESS_SCORE`."""
        return self.status == EVALUATED and self.score >= SUCCESS_SCORE

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; the timeline is left to the recording and the report."""
        return {
            "task_id": self.job.task_id,
            "episode": self.job.episode,
            "reset": self.job.reset,
            "status": self.status,
            "success": self.success,
            "score": self.score,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "rewards": self.rewards,
            "reward_breakdown": self.breakdown,
            "error": self.error or None,
            "reconnects": self.reconnects,
            "tool_calls": self.tool_calls,
            "reply_bytes": self.reply_bytes,
            "model_calls": self.usage.calls,
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "uncounted_calls": self.usage.uncounted_calls,
            "cost_usd": self.usage.cost,
        }


@dataclass
class RunSummary:
    """A whole run.

    Attributes:
        player: `scripted:<policy>`, or the model's name.
        benchmark: name of the environment as printed.
        server: one line about the environment server.
        outcomes: of the episodes that were started, in the order of the jobs.
        planned: episodes that were asked for.
        seconds: wall time.
        interrupted: whether it was stopped before its end.
    """

    player: str
    benchmark: str
    server: str
    outcomes: Sequence[Outcome]
    planned: int
    seconds: float
    interrupted: bool = False

    def by_task(self) -> dict[str, list[Outcome]]:
        """The episodes of each task, in order."""
        found: dict[str, list[Outcome]] = {}
        for each in self.outcomes:
            found.setdefault(each.job.task_id, []).append(each)
        return found

    @property
    def average(self) -> float:
        """Mean score of the episodes that were started."""
        return sum(each.score for each in self.outcomes) / max(len(self.outcomes), 1)

    @property
    def failed(self) -> int:
        """Episodes that did not run, or were never started."""
        ran = sum(each.status in (EVALUATED, NOT_SUBMITTED) for each in self.outcomes)
        return self.planned - ran

    @property
    def cost(self) -> float | None:
        """US dollars, as far as known."""
        known = [each.usage.cost for each in self.outcomes if each.usage.cost is not None]
        return sum(known) if known else None

    @property
    def tokens(self) -> int:
        """Tokens of all episodes."""
        return sum(each.usage.total for each in self.outcomes)
