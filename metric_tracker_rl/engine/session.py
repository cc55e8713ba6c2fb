"""One play of an episode: reset, steps, submissions, and the rules that end it.

The session is plain Python and knows no transport. Every call returns a `Reply`; whatever a
caller does wrong comes back as a reply with status `error` that says what is allowed, costs
a step, and leaves the episode as it was.
"""

from __future__ import annotations

import inspect
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from metric_tracker_rl.analysis_tools import (
    available_synthetic_generator_methods,
    no_generators,
    tools_of,
)
from metric_tracker_rl.analysis_tools.lean import SUBMIT, check_shown, ids_within
from metric_tracker_rl.analysis_tools.registry import dates_within
from metric_tracker_rl.analysis_tools.row_generators import check_generators, run_generators
from metric_tracker_rl.engine.action import Call, read_action
from metric_tracker_rl.engine.config import EpisodeConfig
from metric_tracker_rl.engine.episode import Episode, build_episode
from metric_tracker_rl.engine.grader import SCORE_DECIMALS, grade
from metric_tracker_rl.engine.replies import (
    counted_down,
    debug_content,
    final_reply,
    practice_reply,
    unseen_row,
)
from metric_tracker_rl.engine.report import Report, read_report
from metric_tracker_rl.engine.rewards import reward_components
from metric_tracker_rl.engine.rules import (
    FULL_FEEDBACK,
    PRACTICE_COST,
    EpisodeView,
    chosen_rules,
)
from metric_tracker_rl.engine.splits import SEALED, SPLITS
from metric_tracker_rl.engine.tasks import DEFAULT_TASK_ID, available_task_specs, resolve_config
from metric_tracker_rl.rows import Progress
from openenv_kit.environment import ERROR, Reply
from openenv_kit.errors import (
    InvalidValueError,
    KitError,
    ReportError,
    ToolArgumentError,
    UnknownNameError,
)

READY = "ready"
ANALYZED = "analyzed"
COMPLETED = "completed"

KINDS = ("analysis_method", "classifications", "payload_generators")
"""Fields of an action, of which one may be used at a time."""
DEFAULT_SPLIT = "train"
"""Split of a reset that names an index alone."""
LAST_STEPS = 3
"""From this many steps left on, replies say how many."""


class EpisodeSession:
    """Plays one episode at a time.

    Args:
        debug: put expected rows and the anomaly schedule into replies. For people who look
            for a bug in a task; never on where an agent is trained or measured.
        elsewhere: names of tools that other episodes of the environment offer, so that a call of
            one can be answered with more than that there is no such method.
    """

    def __init__(self, *, debug: bool = False, elsewhere: Container[str] = ()) -> None:
        self.debug, self.elsewhere = debug, elsewhere
        self.task_id: str = DEFAULT_TASK_ID
        self.view: EpisodeView | None = None
        self.steps = 0
        self.submissions = 0
        self.done = False
        self._seen: set[str] = set()
        self._shown: set[int] = set()

    @property
    def episode(self) -> Episode | None:
        """The running episode, if any."""
        return self.view.episode if self.view else None

    def reset(
        self,
        *,
        task_id: str | None = None,
        seed: int | None = None,
        scenario_family: str | None = None,
        difficulty: str | float | None = None,
        anomaly_density: str | None = None,
        anomaly_count: int | None = None,
        anomalies: object = None,
        split: str | None = None,
        index: int | None = None,
        max_steps: int | None = None,
        max_submissions: int | None = None,
        feedback: str | None = None,
        profile: str | None = None,
        disclosure: str | None = None,
        reward: str | None = None,
        policy: str | None = None,
        **unknown: Any,
    ) -> Reply:
        """Start an episode. A reset that fails leaves the running episode untouched.

        `split` and `index` name a task of a split and leave nothing else to choose but the
        rules of play and `policy`, which is "varied" for a reporting policy of the episode's own.
        `feedback="score"` tells the score at the end and nothing else, so that a second play of
        the same episode learns little from the first; sealed tasks are always played so. For
        `profile`, `disclosure` and `reward` see `PlayRules`.
        """
        chosen: dict[str, Any] = {
            "task_id": task_id,
            "seed": seed,
            "scenario_family": scenario_family,
            "difficulty": difficulty,
            "anomaly_density": anomaly_density,
            "anomaly_count": anomaly_count,
            "anomalies": anomalies,
            "policy": policy,
        }
        asked = {
            "max_steps": max_steps,
            "max_submissions": max_submissions,
            "feedback": feedback,
            "profile": profile,
            "disclosure": disclosure,
            "reward": reward,
        }
        try:
            if unknown:
                raise UnknownNameError("reset argument", next(iter(unknown)), RESET_ARGUMENTS)
            rules = chosen_rules(asked, sealed=split == SEALED)
            in_split = split is not None or index is not None
            name, config = (
                self._split_task(split, index, chosen) if in_split else resolve_config(**chosen)
            )
            return self.open(name, EpisodeView(build_episode(config), rules, in_split))
        except KitError as problem:
            return Reply(ERROR, str(problem), done=self.view is not None and self.done)

    def _split_task(
        self, split: str | None, index: int | None, chosen: Mapping[str, Any]
    ) -> tuple[str, EpisodeConfig]:
        """Name and configuration of a task of a split."""
        for name, value in chosen.items():
            if value is not None and name != "policy":
                raise InvalidValueError(name, value, "nothing beside split and index")
        task = SPLITS.task(DEFAULT_SPLIT if split is None else split, 0 if index is None else index)
        if task.split == SEALED and self.debug:
            raise InvalidValueError("split", split, "no sealed split on a server in debug mode")
        policy = chosen["policy"]
        return task.task_id, replace(task.config, policy=policy) if policy else task.config

    def open(self, task_id: str, view: EpisodeView) -> Reply:
        """Start an episode that is already made."""
        self.task_id, self.view = task_id, view
        self.steps = self.submissions = 0
        self.done = False
        self._seen, self._shown = set(), set()
        return Reply(
            READY,
            f"Episode ready: {len(view.episode.dates)} days from {view.episode.dates[0]} to "
            f"{view.episode.dates[-1]}. Call an analysis method or submit a report.",
            content=self._opening(view),
        )

    def state(self) -> Progress:
        """Public progress: never a label, a seed or a score in the making."""
        if self.view is None:
            return Progress()
        return Progress(
            step_count=self.steps,
            task_id=self.task_id,
            status="completed" if self.done else "running",
            max_steps=self.view.rules.max_steps,
            submissions=self.submissions,
            max_submissions=self.view.rules.max_submissions,
            profile=self.view.rules.profile,
            disclosure=self.view.rules.disclosure,
            policy=self.view.episode.config.policy,
        )

    def identity(self) -> dict[str, Any]:
        """Configuration and rules of play, JSON-ready; it holds the seed and is never shown.

        Empty before a reset.
        """
        if self.view is None:
            return {}
        config = self.view.episode.config
        return {
            "episode": config.identity,
            "anomalies": [asdict(anomaly) for anomaly in config.anomalies],
            "only_custom": config.only_custom,
            **self.view.rules.told,
        }

    def step(self, action: Mapping[str, Any]) -> Reply:
        """One step. Never raises for anything a player can send; each one counts.

        Args:
            action: as it arrived; fields are those of `MetricTrackerRlAction`.
        """
        if self.view is None:
            return Reply(ERROR, "No episode is running: call reset first.")
        if self.done:
            return Reply(COMPLETED, "The episode is over: call reset for another one.", done=True)
        self.steps += 1
        if self.steps > self.view.rules.max_steps:
            self.done = True
            return Reply(
                COMPLETED,
                f"More than {self.view.rules.max_steps} steps were taken (max_steps): the "
                "episode ends with score 0 and nothing was graded.",
                done=True,
                content={"expected_row_count": self._told_count(self.view)},
            )
        try:
            reply = self._act(self.view, read_action(action))
        except KitError as problem:
            reply = Reply(ERROR, str(problem))
        reply.content["expected_row_count"] = self._told_count(self.view)
        left = self.view.rules.max_steps - self.steps
        return reply if reply.done or left >= LAST_STEPS else counted_down(reply, left)

    def _told_count(self, view: EpisodeView) -> int:
        """Number of expected rows; 0 while it is hidden."""
        told = not view.hidden or (self.done and view.rules.feedback == FULL_FEEDBACK)
        return len(view.episode.expected_rows) if told else 0

    def _act(self, view: EpisodeView, call: Call) -> Reply:
        name, arguments, rows, generators = call
        if name is not None and not rows and not generators:
            return self._analyse(view, name, arguments)
        kinds = [kind for kind in KINDS if getattr(call, kind) not in (None, (), [])]
        if len(kinds) > 1:
            raise ReportError(
                f"One action at a time: this one has {' and '.join(kinds)}. Nothing was graded."
            )
        if arguments:
            raise ToolArgumentError(
                "analysis_args were given without analysis_method; allowed: both or neither."
            )
        if generators:
            if without := no_generators(view.rules):
                raise ReportError(f"{without} Nothing was graded.")
            return self._submit_generated(view, generators)
        return self._grade(view, read_report(rows, view.episode))

    def _analyse(self, view: EpisodeView, name: str, raw: Mapping[str, Any]) -> Reply:
        tools = tools_of(view.rules, varied=view.varied)
        if name not in tools and name in self.elsewhere:
            raise ToolArgumentError(
                f"{name} is a tool of drill-down episodes; this is a funnel episode, whose "
                f"methods {next(iter(tools))} lists."
            )
        tool = tools.find(name)
        arguments, result = tool.call(view, raw)
        if name == SUBMIT:
            check_shown(result["ids"], self._shown)
            return self._grade(view, read_report(result["rows"], view.episode))
        if tool.shows_data:
            self._seen.update(dates_within(result))
            if view.rules.lean:
                self._shown.update(ids_within(result))
        told = {"method": name, "arguments": arguments, "result": result}
        return Reply(ANALYZED, f"{name} done.", content={"analysis_result": told})

    def _submit_generated(self, view: EpisodeView, methods: Sequence[Any]) -> Reply:
        check_generators(methods)
        rows, _ = run_generators(view, methods)
        seen = tuple(row for row in rows if row.date in self._seen)
        unseen = tuple(unseen_row(row) for row in rows if row.date not in self._seen)
        reply = self._grade(view, Report(seen, unseen))
        reply.content["generated_rows"] = [row.as_dict() for row in rows]
        return reply

    def _grade(self, view: EpisodeView, report: Report) -> Reply:
        graded = grade(report, view.episode.expected_rows, debug=self.debug)
        got, allowed = graded.breakdown, view.rules.max_submissions
        self.submissions += 1
        if self.submissions < allowed and graded.score < 1.0:
            return practice_reply(self.submissions, view, got)
        components = reward_components(report, graded, view.episode)
        paid = components[view.rules.reward] * (1.0 - PRACTICE_COST * (self.submissions - 1))
        self.done = True
        return final_reply(view, report, graded, round(paid, SCORE_DECIMALS), components)

    def _opening(self, view: EpisodeView) -> dict[str, Any]:
        """The full catalogues, sent once."""
        tools = tools_of(view.rules, varied=view.varied)
        content = {
            "instruction": view.instruction,
            "config": view.config,
            "available_methods": list(tools.catalogue(view.episode.config.funnel)),
            "expected_row_count": self._told_count(view),
        }
        if not view.rules.lean:
            content["conversion_metric_definitions"] = view.definitions
        if not view.rules.raw:
            content["applied_synthetic_generators"] = list(view.episode.applied)
        if not view.rules.lean and not view.rules.raw:
            content |= {
                "available_synthetic_generator_methods": available_synthetic_generator_methods(),
                "available_tasks": available_task_specs(),
            }
        if self.debug:
            content["debug"] = debug_content(view.episode)
        return content


RESET_ARGUMENTS: tuple[str, ...] = (
    "episode_id",
    *(
        name
        for name, parameter in inspect.signature(EpisodeSession.reset).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ),
)
"""Names that reset takes."""
