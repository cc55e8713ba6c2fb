"""One play of a drill-down episode: reset, steps, the budget, and the report that ends it.

The session is plain Python and knows no transport. Whatever a caller does wrong comes back as a
reply with status `error`, costs a step and nothing of the budget, and leaves the episode as it was.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from metric_tracker_rl.drilldown import words
from metric_tracker_rl.drilldown.admitted import attempt_of
from metric_tracker_rl.drilldown.arguments import NoArguments
from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.config import DEFAULT_MAX_STEPS as DEFAULT_MAX_STEPS
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.grade import Grade, grade
from metric_tracker_rl.drilldown.report import Report, read_report
from metric_tracker_rl.drilldown.sql.database import FailedQueryError
from metric_tracker_rl.drilldown.tasks import DEFAULT_SPLIT, DEFAULT_TASK_ID, SPLITS, resolve_config
from metric_tracker_rl.drilldown.tools import SUBMIT, find_tool, overview, tools_of
from metric_tracker_rl.drilldown.versions import VERSIONS
from metric_tracker_rl.engine.action import read_action
from metric_tracker_rl.rows import DrillBreakdown, MetricSubmissionRow, Progress
from openenv_kit.environment import ERROR, Reply
from openenv_kit.errors import (
    InvalidValueError,
    KitError,
    ReportError,
    ToolArgumentError,
    UnknownNameError,
    require_integer,
    require_name,
)

READY, ANALYZED, EVALUATED, COMPLETED = "ready", "analyzed", "evaluated", "completed"
MAX_STEPS_LIMIT = 500
SCORE_FEEDBACK, FULL_FEEDBACK = FEEDBACK = ("score", "full")


@dataclass(frozen=True)
class DrillRules:
    """Rules of play.

    Attributes:
        max_steps: 1 to 500; one step more ends the episode with score 0.
        feedback: "score" for an end that tells the score and nothing else, or "full".
    """

    max_steps: int = DEFAULT_MAX_STEPS
    feedback: str = SCORE_FEEDBACK

    def __post_init__(self) -> None:
        require_integer("max_steps", self.max_steps, 1, MAX_STEPS_LIMIT)
        require_name("feedback", self.feedback, FEEDBACK)


class DrillSession:
    """Plays one episode at a time.

    Args:
        debug: put the expected rows and the plan into the reply to a reset. For people who look
            for a bug; never on where an agent is trained or measured.
        elsewhere: names of tools that other episodes of the environment offer, so that a call of
            one can be answered with more than that there is no such tool.
    """

    def __init__(self, *, debug: bool = False, elsewhere: Container[str] = ()) -> None:
        self.debug, self.elsewhere = debug, elsewhere
        self.task_id = DEFAULT_TASK_ID
        self.episode: Episode | None = None
        self.rules = DrillRules()
        self.steps = 0
        self.spent: Counter[str] = Counter()
        self.done = False

    @property
    def read(self) -> int:
        """What was read so far: numbers, or rows on the SQL level."""
        return self.spent["numbers"]

    def reset(
        self,
        *,
        task_id: str | None = None,
        seed: int | None = None,
        difficulty: str | None = None,
        product: str | None = None,
        causes: int | None = None,
        split: str | None = None,
        index: int | None = None,
        max_steps: int | None = None,
        max_submissions: int | None = None,
        feedback: str | None = None,
        **unknown: Any,
    ) -> Reply:
        """Start an episode. A reset that fails leaves the running episode untouched.

        `split` and `index` name a task of a split and leave nothing else to choose but the rules
        of play. There is no practice: `max_submissions` is 1.
        """
        try:
            if unknown:
                raise UnknownNameError("reset argument", next(iter(unknown)), RESET_ARGUMENTS)
            if max_submissions is not None:
                require_integer("max_submissions", max_submissions, 1, 1)
            rules = DrillRules(
                DEFAULT_MAX_STEPS if max_steps is None else max_steps,
                SCORE_FEEDBACK if feedback is None else feedback,
            )
            chosen = {
                "task_id": task_id,
                "seed": seed,
                "difficulty": difficulty,
                "product": product,
                "causes": causes,
            }
            if split is None and index is None:
                return self.open(*resolve_config(**chosen), rules)  # type: ignore[arg-type]
            for name, value in chosen.items():
                if value is not None:
                    raise InvalidValueError(name, value, "nothing beside split and index")
            if split == SPLITS.sealed and rules.feedback != SCORE_FEEDBACK:
                allowed = f"{SCORE_FEEDBACK!r} on a sealed split"
                raise InvalidValueError("feedback", rules.feedback, allowed)
            if split == SPLITS.sealed and self.debug:
                allowed = "no sealed split on a server in debug mode"
                raise InvalidValueError("split", split, allowed)
            place = 0 if index is None else index
            task = SPLITS.task(DEFAULT_SPLIT if split is None else split, place)
            return self.open(task.task_id, task.config, rules)
        except KitError as problem:
            return Reply(ERROR, str(problem), done=self.episode is not None and self.done)

    def open(self, task_id: str, config: DrillConfig, rules: DrillRules) -> Reply:
        """Start the episode of a configuration.

        Raises:
            GenerationError: the episode cannot be made.
        """
        episode = build_episode(config, attempt_of(task_id, config))
        return self.start(task_id, episode, rules)

    def start(self, task_id: str, episode: Episode, rules: DrillRules) -> Reply:
        """Start an episode that is already made."""
        self.episode, self.task_id, self.rules = episode, task_id, rules
        self.steps = 0
        self.spent = Counter()
        self.done = False
        return Reply(
            READY,
            f"Episode ready: {len(episode.dates)} days of {episode.domain.name} from "
            f"{episode.dates[0]} to {episode.dates[-1]}. Call a tool, then {SUBMIT} once.",
            content=self._opening(episode),
        )

    def _opening(self, episode: Episode) -> dict[str, Any]:
        """What a reset tells: the task in words, names and rules, and the tools in force."""
        told = overview(episode, NoArguments())
        texts = [told.pop(name) for name in ("task", "definition", "grading")]
        level = episode.config.difficulty
        content = {
            "instruction": "\n\n".join(texts),
            "config": {**told, **asdict(self.rules), "versions": dict(VERSIONS)},
            "available_methods": [tool.told() for tool in tools_of(level).values()],
            **self._left(episode),
        }
        if self.debug:
            rows = [row.as_dict() for row in episode.expected_rows]
            content["debug"] = {"expected_rows": rows, **asdict(episode.config)}
        return content

    def state(self) -> Progress:
        """Public progress: never a label, a seed or a score in the making."""
        if self.episode is None:
            return Progress()
        return Progress(
            step_count=self.steps,
            task_id=self.task_id,
            status="completed" if self.done else "running",
            max_steps=self.rules.max_steps,
            submissions=int(self.done and self.steps <= self.rules.max_steps),
            max_submissions=1,
        )

    def identity(self) -> dict[str, Any]:
        """Configuration and rules of play; it holds the seed and is never shown."""
        if self.episode is None:
            return {}
        return {
            "episode": self.episode.config.identity,
            "max_steps": self.rules.max_steps,
            "feedback": self.rules.feedback,
        }

    def step(self, action: Mapping[str, Any]) -> Reply:
        """One step. Never raises for anything a player can send; each one counts.

        Args:
            action: as it arrived: `analysis_method` with `analysis_args`, or `classifications`,
                which are the rows of a report.
        """
        if self.episode is None:
            return Reply(ERROR, "No episode is running: call reset first.")
        if self.done:
            return Reply(COMPLETED, "The episode is over: call reset for another one.", done=True)
        self.steps += 1
        if self.steps > self.rules.max_steps:
            self.done = True
            return Reply(
                COMPLETED,
                f"More than {self.rules.max_steps} steps were taken (max_steps): the episode "
                "ends with score 0 and nothing was graded.",
                done=True,
            )
        try:
            reply = self._act(self.episode, action)
        except KitError as problem:
            if isinstance(problem, FailedQueryError):
                self.spent.update(problem.spent)
            reply = Reply(ERROR, str(problem))
        reply.content.update(self._left(self.episode))
        return reply

    def _act(self, episode: Episode, action: Mapping[str, Any]) -> Reply:
        call = read_action(action)
        if call.payload_generators:
            raise ReportError(
                f"Drill-down episodes have no row generators; allowed: {SUBMIT} with rows. "
                "Nothing was graded."
            )
        if call.analysis_method is None:
            if call.analysis_args:
                raise ReportError("analysis_args were given without analysis_method.")
            _refuse_funnel_rows(call.classifications)
            return self._submit(episode, read_report(call.classifications, episode))
        if call.classifications:
            raise ReportError("One action at a time: a tool call or a report.")
        level = episode.config.difficulty
        if call.analysis_method in self.elsewhere:
            raise ToolArgumentError(
                f"{call.analysis_method} is a tool of funnel episodes; this is a drill-down "
                f"episode, which offers: {', '.join(tools_of(level))}."
            )
        tool = find_tool(call.analysis_method, level)
        if tool.name == SUBMIT:
            return self._submit(episode, read_report(tool.read(call.analysis_args).rows, episode))
        result, spent = tool.call(episode, call.analysis_args, self._budget(episode))
        self.spent.update(spent)
        told = {"method": tool.name, "arguments": dict(call.analysis_args), "result": result}
        return Reply(ANALYZED, f"{tool.name} done.", content={"analysis_result": told})

    def _submit(self, episode: Episode, report: Report) -> Reply:
        graded = grade(report, episode.expected_rows, episode.dates, episode.domain)
        self.done = True
        full = self.rules.feedback == FULL_FEEDBACK
        told = breakdown(graded, report) if full else DrillBreakdown(total_score=graded.score)
        content = {"reward_breakdown": told}
        return Reply(EVALUATED, f"Score {graded.score:.4f}.", graded.score, True, content)

    def _budget(self, episode: Episode) -> dict[str, int]:
        """What may still be read, by unit."""
        limits = episode.config.level.limits
        return {unit: limit - self.spent[unit] for unit, limit in limits.items()}

    def _left(self, episode: Episode) -> dict[str, int]:
        """What is left of the budget and of the steps."""
        return {
            **{f"{unit}_left": left for unit, left in self._budget(episode).items()},
            "calls_left": max(self.rules.max_steps - self.steps, 0),
        }


def breakdown(graded: Grade, report: Report) -> DrillBreakdown:
    """What a grade is made of; told after the end with full feedback only."""
    found = sum(each.row is not None for each in graded.credits)
    return DrillBreakdown(
        total_score=graded.score,
        matched=graded.matched,
        cost=graded.cost,
        matched_rows=found,
        expected_rows=len(graded.credits),
        submitted_rows=report.submitted,
        valid_submitted_rows=len(report.rows),
        extra_rows=len(report.rows) - found,
        invalid_rows=len(report.invalid),
        missing_rows=len(graded.credits) - found,
        roots=[
            {
                "root": each.root.as_dict(),
                "credit": each.credit,
                "row": each.row.as_dict() if each.row else None,
            }
            for each in graded.credits
        ],
    )


def _refuse_funnel_rows(rows: object) -> None:
    """Refuse a report of the funnel's rows, which was meant for another episode."""
    if not isinstance(rows, list | tuple):
        return
    foreign = MetricSubmissionRow.model_fields.keys()
    for row in rows:
        if isinstance(row, Mapping) and foreign & row.keys() and "kind" not in row:
            raise ReportError(
                "These are rows of funnel episodes; this is a drill-down episode, whose rows have "
                f"{', '.join(words.ROW_FORMAT)}. Nothing was graded."
            )


RESET_ARGUMENTS: tuple[str, ...] = (
    "episode_id",
    *(
        name
        for name, parameter in inspect.signature(DrillSession.reset).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ),
)
"""Names that reset takes."""
