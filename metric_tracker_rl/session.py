"""One play of an episode: reset, steps, submissions, and the rules that end it.

The session is plain Python and knows no transport. Every call returns a `Reply`; whatever a
caller does wrong comes back as a reply with status `error` that says what is allowed, costs
a step, and leaves the episode as it was.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from metric_tracker_rl.analysis_tools import (
    TOOLS,
    available_synthetic_generator_methods,
)
from metric_tracker_rl.analysis_tools.row_generators import check_generators, run_generators
from metric_tracker_rl.config import EpisodeConfig
from metric_tracker_rl.episode import Episode, build_episode
from metric_tracker_rl.errors import (
    InvalidValueError,
    MetricTrackerError,
    ReportError,
    ToolArgumentError,
    UnknownNameError,
)
from metric_tracker_rl.grader import counts_only, grade
from metric_tracker_rl.play import (
    DEFAULT_MAX_STEPS,
    PRACTICE_COST,
    EpisodeView,
    PlayRules,
)
from metric_tracker_rl.report import preview, read_report
from metric_tracker_rl.splits import SEALED, get_task
from metric_tracker_rl.tasks import DEFAULT_TASK_ID, available_task_specs, resolve_config

T = TypeVar("T")

READY = "ready"
ANALYZED = "analyzed"
IN_PROGRESS = "in_progress"
EVALUATED = "evaluated"
COMPLETED = "completed"
ERROR = "error"

MAX_EPISODE_ID = 255
DEFAULT_SPLIT = "train"
"""Split of a reset that names an index alone."""
LAST_STEPS = 3
"""From this many steps left on, replies say how many."""


@dataclass(slots=True)
class Reply:
    """What a call tells the player.

    Attributes:
        status: ready, analyzed, in_progress, evaluated, completed or error.
        message: one or two sentences.
        reward: 0.0 until the end, the score on the last step.
        done: whether the episode is over.
        content: observation fields that this call filled; all others keep their defaults.
    """

    status: str
    message: str
    reward: float = 0.0
    done: bool = False
    content: dict[str, Any] = field(default_factory=dict)


class Call(NamedTuple):
    """One step as a player sends it; exactly one kind of action may be used."""

    analysis_method: str | None = None
    analysis_args: Mapping[str, Any] = MappingProxyType({})
    classifications: Sequence[Any] = ()
    payload_generators: Sequence[Any] = ()


class EpisodeSession:
    """Plays one episode at a time.

    Args:
        debug: put expected rows and the anomaly schedule into replies. For people who look
            for a bug in a task; never on where an agent is trained or measured.
    """

    def __init__(self, *, debug: bool = False) -> None:
        self.debug = debug
        self.task_id: str = DEFAULT_TASK_ID
        self.view: EpisodeView | None = None
        self.steps = 0
        self.submissions = 0
        self.done = False

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
        difficulty: str | None = None,
        anomaly_density: str | None = None,
        anomaly_count: int | None = None,
        anomalies: object = None,
        split: str | None = None,
        index: int | None = None,
        max_steps: int | None = None,
        max_submissions: int | None = None,
        **unknown: Any,
    ) -> Reply:
        """Start an episode. A reset that fails leaves the running episode untouched.

        `split` and `index` name a task of a split and leave nothing else to choose but the
        rules of play.
        """
        try:
            if unknown:
                raise UnknownNameError("reset argument", next(iter(unknown)), RESET_ARGUMENTS)
            rules = PlayRules(
                max_steps=DEFAULT_MAX_STEPS if max_steps is None else max_steps,
                max_submissions=1 if max_submissions is None else max_submissions,
            )
            chosen: dict[str, Any] = {
                "task_id": task_id,
                "seed": seed,
                "scenario_family": scenario_family,
                "difficulty": difficulty,
                "anomaly_density": anomaly_density,
                "anomaly_count": anomaly_count,
                "anomalies": anomalies,
            }
            if split is not None or index is not None:
                return self._start_split_task(split, index, chosen, rules)
            name, config = resolve_config(**chosen)
            return self.start(name, config, rules)
        except MetricTrackerError as problem:
            return Reply(ERROR, str(problem), done=self.view is not None and self.done)

    def start(self, task_id: str, config: EpisodeConfig, rules: PlayRules) -> Reply:
        """Start the episode of a configuration under rules of play.

        Raises:
            ConfigurationError: the episode cannot be made.
        """
        return self.open(task_id, EpisodeView(build_episode(config), rules))

    def _start_split_task(
        self, split: Any, index: Any, chosen: Mapping[str, Any], rules: PlayRules
    ) -> Reply:
        for name, value in chosen.items():
            if value is not None:
                raise InvalidValueError(name, value, "nothing beside split and index")
        task = get_task(DEFAULT_SPLIT if split is None else split, 0 if index is None else index)
        sealed = task.split == SEALED
        if sealed and self.debug:
            raise InvalidValueError("split", split, "no sealed split on a server in debug mode")
        if sealed and rules.max_submissions > 1:
            raise InvalidValueError("max_submissions", rules.max_submissions, "1 on a sealed split")
        view = EpisodeView(build_episode(task.config), rules, sealed=sealed)
        return self.open(task.task_id, view)

    def open(self, task_id: str, view: EpisodeView) -> Reply:
        """Start an episode that is already made."""
        self.task_id, self.view = task_id, view
        self.steps = self.submissions = 0
        self.done = False
        return Reply(
            READY,
            f"Episode ready: {len(view.episode.dates)} days from {view.episode.dates[0]} to "
            f"{view.episode.dates[-1]}. Call an analysis method or submit a report.",
            content=self._opening(view),
        )

    def step(self, call: Call) -> Reply:
        """One step. Never raises for anything a player can send."""
        return self._take(self._act, call)

    def refuse(self, problem: str) -> Reply:
        """The step of an action that could not even be read; it counts like any other."""
        return self._take(lambda _, text: Reply(ERROR, text), problem)

    def _take(self, act: Callable[[EpisodeView, T], Reply], given: T) -> Reply:
        """Count a step, act if the rules allow one more, and turn errors into replies."""
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
                content={"expected_row_count": len(self.view.episode.expected_rows)},
            )
        try:
            reply = act(self.view, given)
        except MetricTrackerError as problem:
            reply = Reply(ERROR, str(problem))
        reply.content["expected_row_count"] = len(self.view.episode.expected_rows)
        return self._with_countdown(reply, self.view.rules)

    def _act(self, view: EpisodeView, call: Call) -> Reply:
        name, arguments, rows, generators = call
        if name is not None and not rows and not generators:
            return self._analyse(view, name, arguments)
        kinds = [
            name
            for name, given in (
                ("analysis_method", call.analysis_method is not None),
                ("classifications", len(call.classifications) > 0),
                ("payload_generators", len(call.payload_generators) > 0),
            )
            if given
        ]
        if len(kinds) > 1:
            raise ReportError(
                f"One action at a time: this one has {' and '.join(kinds)}. Nothing was graded."
            )
        if call.analysis_args:
            raise ToolArgumentError(
                "analysis_args were given without analysis_method; allowed: both or neither."
            )
        if call.payload_generators:
            return self._submit_generated(view, call.payload_generators)
        return self._submit(view, call.classifications)

    def _analyse(self, view: EpisodeView, name: str, raw: Mapping[str, Any]) -> Reply:
        arguments, result = TOOLS.find(name).call(view, raw)
        content: dict[str, Any] = {
            "analysis_result": {"method": name, "arguments": arguments, "result": result}
        }
        return Reply(ANALYZED, f"{name} done.", content=content)

    def _submit_generated(self, view: EpisodeView, methods: Sequence[Any]) -> Reply:
        check_generators(methods)
        rows, _ = run_generators(view, methods)
        reply = self._submit(view, rows)
        reply.content["generated_rows"] = [row.as_dict() for row in rows]
        return reply

    def _submit(self, view: EpisodeView, rows: Sequence[Any]) -> Reply:
        report = read_report(rows, view.episode)
        graded = grade(report, view.episode.expected_rows, debug=self.debug)
        self.submissions += 1
        allowed = view.rules.max_submissions
        content: dict[str, Any] = {"correct_row_count": graded.breakdown.matched_rows}
        if self.submissions < allowed and graded.score < 1.0:
            content["reward_breakdown"] = counts_only(graded.breakdown)
            return Reply(
                IN_PROGRESS,
                f"Practice submission {self.submissions} of {allowed}: "
                f"{graded.breakdown.matched_rows} of {graded.breakdown.expected_rows} expected "
                "rows matched. Each submission before the last costs "
                f"{PRACTICE_COST:.0%} of the final score.",
                content=content,
            )
        score = round(graded.score * (1.0 - PRACTICE_COST * (self.submissions - 1)), 6)
        self.done = True
        content["reward_breakdown"] = graded.breakdown.model_copy(update={"total_score": score})
        if not view.sealed:  # which rows were right would give sealed answers away
            content.update(
                submission_preview=preview(report),
                submission_issues=list(graded.issues),
                submitted_rows=[row.as_dict() for row in report.rows],
            )
        return Reply(
            EVALUATED,
            f"Score {score:.4f}: {graded.breakdown.matched_rows} of "
            f"{graded.breakdown.expected_rows} expected rows matched, "
            f"{graded.breakdown.extra_rows} extra, {graded.breakdown.duplicate_rows} repeated, "
            f"{graded.breakdown.invalid_rows} invalid.",
            reward=score,
            done=True,
            content=content,
        )

    def _opening(self, view: EpisodeView) -> dict[str, Any]:
        """The full catalogues, sent once."""
        content: dict[str, Any] = {
            "instruction": view.instruction,
            "config": view.config,
            "conversion_metric_definitions": view.definitions,
            "available_methods": list(TOOLS.catalogue(view.episode.config.funnel)),
            "available_synthetic_generator_methods": available_synthetic_generator_methods(),
            "applied_synthetic_generators": list(view.episode.applied),
            "available_tasks": available_task_specs(),
            "expected_row_count": len(view.episode.expected_rows),
        }
        if self.debug:
            content["debug"] = debug_content(view.episode)
        return content

    def _with_countdown(self, reply: Reply, rules: PlayRules) -> Reply:
        left = rules.max_steps - self.steps
        if reply.done or left >= LAST_STEPS:
            return reply
        note = "No step is left" if left == 0 else f"{left} step(s) left"
        return Reply(
            reply.status, f"{reply.message} {note}.", reply.reward, reply.done, reply.content
        )


def debug_content(episode: Episode) -> dict[str, Any]:
    """The answer and the schedule behind it; for servers started in debug mode only."""
    return {
        "expected_rows": [row.as_dict() for row in episode.expected_rows],
        "anomaly_schedule": [
            {
                "date": episode.dates[cause.day],
                **cause.root._asdict(),
                "effect": repr(cause.effect),
            }
            for cause in episode.draw.causes
        ],
        "seed": episode.config.seed,
        "draws": episode.draw.draws,
    }


def check_episode_id(episode_id: object) -> str | None:
    """An episode id as requested, or None.

    Raises:
        InvalidValueError: not text, empty, too long, or with half of a surrogate pair.
    """
    if episode_id is None:
        return None
    if isinstance(episode_id, str) and 0 < len(episode_id) <= MAX_EPISODE_ID:
        half = any("\ud800" <= letter <= "\udfff" for letter in episode_id)
        if not half:
            return episode_id
    raise InvalidValueError("episode_id", episode_id, f"text of 1 to {MAX_EPISODE_ID} characters")


RESET_ARGUMENTS: tuple[str, ...] = (
    "episode_id",
    *(
        name
        for name, parameter in inspect.signature(EpisodeSession.reset).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ),
)
"""Names that reset takes."""
