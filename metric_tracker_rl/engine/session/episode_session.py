"""One play of a funnel episode: what a reset asks for, what a step does, what a report is told.

Whatever a caller does wrong is answered with status `error`, which says what is allowed, costs a
step and leaves the episode as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from metric_tracker_rl.analysis_tools import (
    available_synthetic_generator_methods,
    catalogue,
    no_generators,
    tools_of,
)
from metric_tracker_rl.analysis_tools.lean import SUBMIT, check_shown, ids_within
from metric_tracker_rl.analysis_tools.registry import dates_within
from metric_tracker_rl.analysis_tools.row_generators import check_generators, run_generators
from metric_tracker_rl.engine.configuration.play_rules import (
    FULL_FEEDBACK,
    PRACTICE_COST,
    RULES,
    EpisodeView,
    chosen_rules,
    rate_definitions,
)
from metric_tracker_rl.engine.configuration.splits import CONFIGURING, config_of_reset
from metric_tracker_rl.engine.configuration.tasks import available_task_specs
from metric_tracker_rl.engine.episode.episode import Episode, build_episode
from metric_tracker_rl.engine.grading.grader import SCORE_DECIMALS, grade
from metric_tracker_rl.engine.grading.rewards import reward_components
from metric_tracker_rl.engine.report.parse_report import Report, read_report
from metric_tracker_rl.engine.session.parse_action import Call, read_action
from metric_tracker_rl.engine.session.report_replies import (
    debug_content,
    final_reply,
    practice_reply,
    unseen_row,
)
from metric_tracker_rl.wire_models import Progress, RewardBreakdown
from openenv_kit.environment import Reply, Session
from openenv_kit.errors import InvalidValueError, ReportError, ToolArgumentError, require_name
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.session import GROUNDED

READY = "ready"
ANALYZED = "analyzed"

KINDS = ("analysis_method", "classifications", "payload_generators")
"""Fields of an action, of which one may be used at a time."""
RESET_ARGUMENTS = ("episode_id", *CONFIGURING[:-1], "split", "index", *RULES, CONFIGURING[-1])
"""Names that reset takes."""


class EpisodeSession(Session):
    """Plays one episode at a time.

    Args:
        debug: put expected rows and the anomaly schedule into replies. For people who look
            for a bug in a task; never on where an agent is trained or measured.
    """

    progress = Progress

    def __init__(self, *, debug: bool = False) -> None:
        super().__init__()
        self.debug = debug
        self.view: EpisodeView | None = None
        self.submissions = 0
        self._seen: set[str] = set()
        self._shown: set[int] = set()

    def start(self, **arguments: Any) -> Reply:
        """Start an episode.

        `split` and `index` name a task of a split and leave nothing else to choose but the
        rules of play and `policy`, which is "varied" for a reporting policy of the episode's own.
        `feedback="score"` tells the score at the end and nothing else, so that a second play of
        the same episode learns little from the first; sealed tasks are always played so. For
        `profile`, `disclosure` and `reward` see `PlayRules`.
        """
        for name in arguments:
            require_name("reset argument", name, RESET_ARGUMENTS)
        split = arguments.get("split")
        rules = chosen_rules(
            {name: arguments.get(name) for name in RULES}, sealed=is_sealed_split(split)
        )
        if is_sealed_split(split) and self.debug:
            raise InvalidValueError("split", split, "no sealed split on a server in debug mode")
        task, config = config_of_reset(arguments)
        in_split = split is not None or arguments.get("index") is not None
        return self.open(task, EpisodeView(build_episode(config), rules, in_split))

    def open(self, task_id: str, view: EpisodeView) -> Reply:
        """Start an episode that is already made."""
        self.task_id, self.max_steps = task_id, view.rules.max_steps
        self.view, self.submissions = view, 0
        self.steps, self.done = 0, False
        self._seen, self._shown = set(), set()
        return Reply(
            READY,
            f"Episode ready: {len(view.episode.dates)} days from {view.episode.dates[0]} to "
            f"{view.episode.dates[-1]}. Call an analysis method or submit a report.",
            content=self._opening(view),
        )

    @property
    def episode(self) -> Episode | None:
        """The running episode, if any."""
        return self.view.episode if self.view else None

    @property
    def playing(self) -> EpisodeView:
        """The running episode and its rules; there is one wherever the base class asks."""
        if self.view is None:
            raise ReportError("No episode is running: call reset first.")
        return self.view

    def state_fields(self) -> Mapping[str, Any]:
        rules = self.playing.rules
        return {
            "submissions": self.submissions,
            "max_submissions": rules.max_submissions,
            "profile": rules.profile,
            "disclosure": rules.disclosure,
            "policy": self.playing.episode.config.policy,
        }

    def identity(self) -> dict[str, Any]:
        """Configuration and rules of play; it holds the seed. Empty before a reset."""
        if self.view is None:
            return {}
        config = self.view.episode.config
        return {
            "episode": config.identity,
            "anomalies": [asdict(anomaly) for anomaly in config.anomalies],
            "only_custom": config.only_custom,
            **self.view.rules.by_name,
        }

    def act(self, action: Mapping[str, Any]) -> Reply:
        """One step; `action` has the fields of `MetricTrackerRlAction`."""
        reply = self._carry_out(self.playing, read_action(action))
        reply.content["expected_row_count"] = self._visible_count(self.playing, done=reply.done)
        return reply

    def refused(self, problem: str) -> Reply:
        return self._counted(super().refused(problem))

    def exhausted(self) -> Reply:
        return self._counted(super().exhausted())

    def sealed_content(self, score: float | None) -> dict[str, Any]:
        breakdown = RewardBreakdown(total_score=score or 0.0)
        return {"reward_breakdown": breakdown, "expected_row_count": None}

    def _counted(self, reply: Reply) -> Reply:
        if self.view is not None:
            count = self._visible_count(self.view, done=reply.done)
            reply.content["expected_row_count"] = count
        return reply

    def _visible_count(self, view: EpisodeView, *, done: bool = False) -> int | None:
        """Number of expected rows; None while it is hidden."""
        shown = not view.hidden or (done and view.rules.feedback == FULL_FEEDBACK)
        return len(view.episode.expected_rows) if shown else None

    def _carry_out(self, view: EpisodeView, call: Call) -> Reply:
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
        tool = tools_of(view.rules, varied=view.varied).find(name)
        result = tool.call(view, raw, "analysis_args")
        if name == SUBMIT:
            check_shown(result["ids"], self._shown)
            return self._grade(view, read_report(result["rows"], view.episode))
        if tool.shows_data:
            self._seen.update(dates_within(result))
            if view.rules.lean:
                self._shown.update(ids_within(result))
        analysis = {"method": name, "arguments": dict(raw), "result": result}
        return Reply(ANALYZED, f"{name} done.", content={"analysis_result": analysis})

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
        reply = final_reply(view, report, graded, round(paid, SCORE_DECIMALS), components)
        if reply.info is not None:
            right = {row.key for row in view.episode.expected_rows}
            found = [row for row in report.rows if row.key in right]
            # In the lean profile only what was listed can be submitted.
            read = sum(view.rules.lean or row.date in self._seen for row in found)
            reply.info[GROUNDED] = read / len(found) if found else None
        return reply

    def _opening(self, view: EpisodeView) -> dict[str, Any]:
        """The full catalogues, sent once."""
        tools, funnel = tools_of(view.rules, varied=view.varied), view.episode.config.funnel_spec
        content: dict[str, Any] = {
            "instruction": view.instruction,
            "config": view.config,
            "available_methods": list(catalogue(tools, funnel.name)),
            "expected_row_count": self._visible_count(view),
        }
        if not view.rules.lean:
            content["conversion_metric_definitions"] = rate_definitions(funnel)
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
