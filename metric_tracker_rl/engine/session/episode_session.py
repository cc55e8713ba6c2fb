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
    generators_refused_because,
    method_specs,
    select_analysis_tools,
)
from metric_tracker_rl.analysis_tools.lean import SUBMIT_TOOL, ids_in_result, require_listed_ids
from metric_tracker_rl.analysis_tools.registry import dates_in_result
from metric_tracker_rl.analysis_tools.row_generators import run_generators, validate_generators
from metric_tracker_rl.engine.configuration.play_rules import (
    FULL_FEEDBACK,
    PRACTICE_COST,
    EpisodeView,
    list_rate_definitions,
    resolve_play_rules,
)
from metric_tracker_rl.engine.configuration.reset_arguments import (
    PLAY_RULE_ARGUMENTS,
    RESET_ARGUMENTS,
)
from metric_tracker_rl.engine.configuration.splits import resolve_reset
from metric_tracker_rl.engine.configuration.tasks import available_task_specs
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.grading.grader import SCORE_DECIMALS, grade_report
from metric_tracker_rl.engine.grading.rewards import compute_reward_components
from metric_tracker_rl.engine.report.parse_report import SubmittedReport, parse_report
from metric_tracker_rl.engine.session.parse_action import ParsedAction, parse_action
from metric_tracker_rl.engine.session.report_replies import (
    build_debug_content,
    build_final_reply,
    build_practice_reply,
    build_unseen_row_issue,
)
from metric_tracker_rl.wire_models import FunnelProgress, RewardBreakdown
from openenv_kit.environment import Reply, Session
from openenv_kit.errors import InvalidValueError, ReportError, ToolArgumentError, require_name
from openenv_kit.reply import EVIDENCE_SHARE_KEY
from openenv_kit.sealed_split import is_sealed_split

READY = "ready"
ANALYZED = "analyzed"

ACTION_FIELDS = ("analysis_method", "classifications", "payload_generators")
"""Fields of an action, of which one may be used at a time."""


class EpisodeSession(Session):
    """Plays one episode at a time.

    Args:
        debug: put expected rows and the anomaly schedule into replies. For people who look
            for a bug in a task; never on where an agent is trained or measured.
    """

    state_model = FunnelProgress

    def __init__(self, *, debug: bool = False) -> None:
        super().__init__()
        self.debug = debug
        self.view: EpisodeView | None = None
        self.submission_count = 0
        self._seen_dates: set[str] = set()
        self._listed_ids: set[int] = set()

    def start_episode(self, **arguments: Any) -> Reply:
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
        rules = resolve_play_rules(
            {name: arguments.get(name) for name in PLAY_RULE_ARGUMENTS},
            is_sealed=is_sealed_split(split),
        )
        if is_sealed_split(split) and self.debug:
            raise InvalidValueError("split", split, "no sealed split on a server in debug mode")
        task, config = resolve_reset(arguments)
        in_split = split is not None or arguments.get("index") is not None
        return self.start_from_view(task, EpisodeView(build_episode(config), rules, in_split))

    def start_from_view(self, task_id: str, view: EpisodeView) -> Reply:
        """Start an episode that is already made."""
        self.task_id, self.max_steps = task_id, view.rules.max_steps
        self.view, self.submission_count = view, 0
        self.steps, self.done = 0, False
        self._seen_dates, self._listed_ids = set(), set()
        return Reply(
            READY,
            f"Episode ready: {len(view.episode.dates)} days from {view.episode.dates[0]} to "
            f"{view.episode.dates[-1]}. Call an analysis method or submit a report.",
            observation_fields=self._build_reset_content(view),
        )

    @property
    def episode(self) -> FunnelEpisode | None:
        """The running episode, if any."""
        return self.view.episode if self.view else None

    @property
    def running_view(self) -> EpisodeView:
        """The running episode and its rules; there is one wherever the base class asks."""
        if self.view is None:
            raise ReportError("No episode is running: call reset first.")
        return self.view

    def extra_state_fields(self) -> Mapping[str, Any]:
        rules = self.running_view.rules
        return {
            "submissions": self.submission_count,
            "max_submissions": rules.max_submissions,
            "profile": rules.profile,
            "disclosure": rules.disclosure,
            "policy": self.running_view.episode.config.policy,
        }

    def episode_identity(self) -> dict[str, Any]:
        """Configuration and rules of play; it holds the seed. Empty before a reset."""
        if self.view is None:
            return {}
        config = self.view.episode.config
        return {
            "episode": config.identity,
            "anomalies": [asdict(anomaly) for anomaly in config.anomalies],
            "only_custom": config.only_custom,
            **self.view.rules.rules_without_default_modes,
        }

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        """One step; `action` has the fields of `MetricTrackerRlAction`."""
        reply = self._execute_action(self.running_view, parse_action(action))
        reply.observation_fields["expected_row_count"] = self._expected_row_count_if_visible(
            self.running_view, is_done=reply.done
        )
        return reply

    def error_reply(self, message: str) -> Reply:
        return self._add_expected_row_count(super().error_reply(message))

    def step_limit_reply(self) -> Reply:
        return self._add_expected_row_count(super().step_limit_reply())

    def sealed_end_fields(self, score: float | None) -> dict[str, Any]:
        breakdown = RewardBreakdown(total_score=score or 0.0)
        return {"reward_breakdown": breakdown, "expected_row_count": None}

    def _add_expected_row_count(self, reply: Reply) -> Reply:
        if self.view is not None:
            count = self._expected_row_count_if_visible(self.view, is_done=reply.done)
            reply.observation_fields["expected_row_count"] = count
        return reply

    def _expected_row_count_if_visible(
        self, view: EpisodeView, *, is_done: bool = False
    ) -> int | None:
        """Number of expected rows; None while it is hidden."""
        shown = not view.hides_counts or (is_done and view.rules.feedback == FULL_FEEDBACK)
        return len(view.episode.expected_rows) if shown else None

    def _execute_action(self, view: EpisodeView, action: ParsedAction) -> Reply:
        name, arguments, rows, generators = action
        if name is not None and not rows and not generators:
            return self._run_analysis(view, name, arguments)
        kinds = [kind for kind in ACTION_FIELDS if getattr(action, kind) not in (None, (), [])]
        if len(kinds) > 1:
            raise ReportError(
                f"One action at a time: this one has {' and '.join(kinds)}. Nothing was graded."
            )
        if arguments:
            raise ToolArgumentError(
                "analysis_args were given without analysis_method; allowed: both or neither."
            )
        if generators:
            if without := generators_refused_because(view.rules):
                raise ReportError(f"{without} Nothing was graded.")
            return self._submit_generated_rows(view, generators)
        return self._grade_submission(view, parse_report(rows, view.episode))

    def _run_analysis(
        self, view: EpisodeView, method_name: str, raw_arguments: Mapping[str, Any]
    ) -> Reply:
        tool = select_analysis_tools(view.rules, has_drawn_policy=view.has_drawn_policy).find(
            method_name
        )
        result = tool.call(view, raw_arguments, "analysis_args")
        if method_name == SUBMIT_TOOL:
            require_listed_ids(result["ids"], self._listed_ids)
            return self._grade_submission(view, parse_report(result["rows"], view.episode))
        if tool.has_episode_data:
            self._seen_dates.update(dates_in_result(result))
            if view.rules.is_lean:
                self._listed_ids.update(ids_in_result(result))
        analysis = {"method": method_name, "arguments": dict(raw_arguments), "result": result}
        return Reply(
            ANALYZED, f"{method_name} done.", observation_fields={"analysis_result": analysis}
        )

    def _submit_generated_rows(self, view: EpisodeView, generators: Sequence[Any]) -> Reply:
        validate_generators(generators)
        rows, _ = run_generators(view, generators)
        seen = tuple(row for row in rows if row.date in self._seen_dates)
        unseen = tuple(
            build_unseen_row_issue(row) for row in rows if row.date not in self._seen_dates
        )
        reply = self._grade_submission(view, SubmittedReport(seen, unseen))
        reply.observation_fields["generated_rows"] = [row.as_dict() for row in rows]
        return reply

    def _grade_submission(self, view: EpisodeView, report: SubmittedReport) -> Reply:
        graded = grade_report(report, view.episode.expected_rows, debug=self.debug)
        got, allowed = graded.breakdown, view.rules.max_submissions
        self.submission_count += 1
        if self.submission_count < allowed and graded.score < 1.0:
            return build_practice_reply(self.submission_count, view, got)
        components = compute_reward_components(report, graded, view.episode)
        paid = components[view.rules.reward] * (1.0 - PRACTICE_COST * (self.submission_count - 1))
        reply = build_final_reply(view, report, graded, round(paid, SCORE_DECIMALS), components)
        if reply.info is not None:
            right = {row.key for row in view.episode.expected_rows}
            found = [row for row in report.valid_rows if row.key in right]
            # In the lean profile only what was listed can be submitted.
            read = sum(view.rules.is_lean or row.date in self._seen_dates for row in found)
            reply.info[EVIDENCE_SHARE_KEY] = read / len(found) if found else None
        return reply

    def _build_reset_content(self, view: EpisodeView) -> dict[str, Any]:
        """The full catalogues, sent once."""
        tools, funnel = (
            select_analysis_tools(view.rules, has_drawn_policy=view.has_drawn_policy),
            view.episode.config.funnel_spec,
        )
        content: dict[str, Any] = {
            "instruction": view.instruction,
            "config": view.public_config,
            "available_methods": list(method_specs(tools, funnel.name)),
            "expected_row_count": self._expected_row_count_if_visible(view),
        }
        if not view.rules.is_lean:
            content["conversion_metric_definitions"] = list_rate_definitions(funnel)
        if not view.rules.is_raw:
            content["applied_synthetic_generators"] = list(view.episode.applied_anomalies)
        if not view.rules.is_lean and not view.rules.is_raw:
            content |= {
                "available_synthetic_generator_methods": available_synthetic_generator_methods(),
                "available_tasks": available_task_specs(),
            }
        if self.debug:
            content["debug"] = build_debug_content(view.episode)
        return content
