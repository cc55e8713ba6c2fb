"""The session that runs funnel episodes, executes resets and steps, and grades reports.

The reply to an invalid reset or step has the status `error` and states the allowed values. A
rejected step counts towards the step limit but does not change the episode otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from metric_tracker_rl.analysis_tools import (
    available_synthetic_generator_methods,
    build_method_specs,
    explain_why_row_generators_are_rejected,
    select_analysis_tools,
)
from metric_tracker_rl.analysis_tools.lean import (
    SUBMIT_TOOL,
    find_series_ids_in_scan_result,
    require_ids_listed_by_scan,
)
from metric_tracker_rl.analysis_tools.registry import collect_dates_of_result_rows
from metric_tracker_rl.analysis_tools.row_generators import (
    run_and_merge_row_generators,
    validate_row_generator_calls,
)
from metric_tracker_rl.engine.configuration.play_rules import (
    FULL_FEEDBACK,
    PRACTICE_COST,
    resolve_play_rules,
)
from metric_tracker_rl.engine.configuration.reset_arguments import (
    PLAY_RULE_ARGUMENTS,
    RESET_ARGUMENTS,
)
from metric_tracker_rl.engine.configuration.resolve_task import (
    replace_task_id_of_split,
    resolve_task_of_reset_arguments,
)
from metric_tracker_rl.engine.configuration.tasks import available_task_specs
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.grading.grader import SCORE_DECIMALS, grade_report
from metric_tracker_rl.engine.grading.rewards import (
    compute_reward_of_each_mode_and_score_components,
)
from metric_tracker_rl.engine.report.parse_report import SubmittedReport, parse_report
from metric_tracker_rl.engine.session.parse_action import ParsedAction, parse_action
from metric_tracker_rl.engine.session.report_replies import (
    build_debug_fields_with_expected_rows_and_plan,
    build_final_submission_reply,
    build_issue_for_row_of_unshown_date,
    build_practice_submission_reply,
)
from metric_tracker_rl.wire_models import FunnelProgress, RewardBreakdown
from openenv_kit.environment import Reply, Session
from openenv_kit.errors import InvalidValueError, ReportError, ToolArgumentError, require_name
from openenv_kit.reply import EVIDENCE_SHARE_KEY
from openenv_kit.sealed_split import is_sealed_split

READY = "ready"
ANALYZED = "analyzed"

ACTION_FIELDS = ("analysis_method", "classifications", "payload_generators")
"""Fields of an action that are mutually exclusive."""


class EpisodeSession(Session):
    """A session that runs funnel episodes, one at a time.

    Args:
        debug: whether replies contain the expected rows and the planned anomalies. Use it only to
            find bugs in tasks, never when a model is trained or evaluated.

    Attributes:
        view: the current episode, running or finished, with its play rules; None before the first
            reset.
        submission_count: number of reports that were graded in the current episode.
        last_report: the last of these reports; None if there was none.
    """

    state_model = FunnelProgress

    def __init__(self, *, debug: bool = False) -> None:
        super().__init__()
        self.debug = debug
        self.view: EpisodeView | None = None
        self.submission_count = 0
        self.last_report: SubmittedReport | None = None
        self._shown_dates: set[str] = set()
        self._listed_ids: set[int] = set()

    def start_episode(self, **arguments: Any) -> Reply:
        """Start the episode that the reset arguments describe and return the reply to the reset.

        `split` and `index`, or a `task_id` such as `train-7`, select a task of a split and can be
        combined only with play rules and `policy`. `policy="varied"` draws the episode's reporting
        policy at random. With `feedback="score"`, the final reply contains only the score, so it
        reveals little that helps in other rollouts of the same episode. Tasks of a sealed split
        always have this feedback.
        See `PlayRules` for the play rules.

        Raises:
            UnknownNameError, InvalidValueError: a reset argument or its value is not allowed.
        """
        for name in arguments:
            require_name("reset argument", name, RESET_ARGUMENTS)
        arguments = dict(replace_task_id_of_split(arguments))
        split = arguments.get("split")
        is_sealed = is_sealed_split(split)
        rules = resolve_play_rules(
            {name: arguments.get(name) for name in PLAY_RULE_ARGUMENTS}, is_sealed_task=is_sealed
        )
        if is_sealed and self.debug:
            raise InvalidValueError("split", split, "no sealed split on a server in debug mode")
        task_id, config = resolve_task_of_reset_arguments(arguments)
        is_split_task = split is not None or arguments.get("index") is not None
        view = EpisodeView(build_episode(config), rules, is_split_task=is_split_task)
        return self.start_episode_from_view(task_id, view)

    def start_episode_from_view(self, task_id: str, view: EpisodeView) -> Reply:
        """Start an episode that has already been generated and return the reply to the reset.

        Args:
            task_id: id of the episode's task.
            view: the episode and its play rules.
        """
        self.task_id = task_id
        self.max_steps = view.rules.max_steps
        self.view = view
        self.submission_count = 0
        self.last_report = None
        self.steps = 0
        self.done = False
        self._shown_dates = set()
        self._listed_ids = set()
        return Reply(
            READY,
            f"Episode ready: {len(view.episode.dates)} days from {view.episode.dates[0]} to "
            f"{view.episode.dates[-1]}. Call an analysis method or submit a report.",
            observation_fields=self._build_reset_observation_fields(view),
        )

    @property
    def episode(self) -> FunnelEpisode | None:
        """The current episode, running or finished; None before the first reset."""
        return self.view.episode if self.view else None

    @property
    def running_view(self) -> EpisodeView:
        """The current episode with its play rules.

        Raises:
            ReportError: no episode has been started. Actions cannot cause this error, because the
                base class checks for it first.
        """
        if self.view is None:
            raise ReportError("No episode is running: call reset first.")
        return self.view

    def build_extra_state_fields(self) -> Mapping[str, Any]:
        rules = self.running_view.rules
        return {
            "submissions": self.submission_count,
            "max_submissions": rules.max_submissions,
            "profile": rules.profile,
            "disclosure": rules.disclosure,
            "policy": self.running_view.episode.config.policy,
        }

    def build_episode_identity(self) -> dict[str, Any]:
        """Return the values that identify the current episode.

        They are the configuration, including the seed, and the play rules. The result is empty
        before the first reset.
        """
        if self.view is None:
            return {}
        config = self.view.episode.config
        return {
            "episode": config.random_stream_key_json,
            "anomalies": [asdict(anomaly) for anomaly in config.anomalies],
            "only_custom": config.only_custom,
            **self.view.rules.rules_by_name_without_default_modes,
        }

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        """Execute an action and return the reply.

        Args:
            action: mapping with the fields of `MetricTrackerRlAction`.
        """
        reply = self._run_analysis_or_grade_report(self.running_view, parse_action(action))
        reply.observation_fields["expected_row_count"] = self._get_expected_row_count_if_visible(
            self.running_view, is_done=reply.done
        )
        return reply

    def build_error_reply(self, message: str) -> Reply:
        return self._add_expected_row_count_if_visible(super().build_error_reply(message))

    def build_step_limit_reply(self) -> Reply:
        return self._add_expected_row_count_if_visible(super().build_step_limit_reply())

    def build_sealed_end_fields(self, score: float | None) -> dict[str, Any]:
        breakdown = RewardBreakdown(total_score=score or 0.0)
        return {"reward_breakdown": breakdown, "expected_row_count": None}

    def _add_expected_row_count_if_visible(self, reply: Reply) -> Reply:
        if self.view is not None:
            count = self._get_expected_row_count_if_visible(self.view, is_done=reply.done)
            reply.observation_fields["expected_row_count"] = count
        return reply

    def _get_expected_row_count_if_visible(
        self, view: EpisodeView, *, is_done: bool = False
    ) -> int | None:
        """Return the number of expected rows, or None if the player must not see it.

        A hidden number becomes visible at the end of an episode with full feedback.
        """
        is_visible = not view.hides_counts or (is_done and view.rules.feedback == FULL_FEEDBACK)
        return len(view.episode.expected_rows) if is_visible else None

    def _run_analysis_or_grade_report(self, view: EpisodeView, action: ParsedAction) -> Reply:
        """Execute a parsed action, which either calls an analysis method or submits a report.

        Raises:
            ReportError: the action uses several of `ACTION_FIELDS`, or submits a report in a form
                that the play rules do not allow.
            ToolArgumentError: the method or its arguments are not valid.
        """
        method_name, arguments, rows, generators = action
        if method_name is not None and not rows and not generators:
            return self._run_analysis_or_submit_ids(view, method_name, arguments)
        used = [name for name in ACTION_FIELDS if getattr(action, name) not in (None, (), [])]
        if len(used) > 1:
            raise ReportError(
                f"The action has {' and '.join(used)}; allowed: one of them. Nothing was graded."
            )
        if arguments:
            raise ToolArgumentError(
                "analysis_args were given without analysis_method; allowed: both or neither."
            )
        if generators:
            if reason := explain_why_row_generators_are_rejected(view.rules):
                raise ReportError(f"{reason} Nothing was graded.")
            return self._submit_generated_rows_and_list_all_generated_rows(view, generators)
        return self._grade_practice_or_final_submission(view, parse_report(rows, view.episode))

    def _run_analysis_or_submit_ids(
        self, view: EpisodeView, method_name: str, raw_arguments: Mapping[str, Any]
    ) -> Reply:
        tools = select_analysis_tools(
            view.rules, has_drawn_policy=view.has_drawn_policy, product_funnel=view.product_funnel
        )
        tool = tools.find(method_name)
        result = tool.call(view, raw_arguments, "analysis_args")
        if method_name == SUBMIT_TOOL:
            require_ids_listed_by_scan(result["ids"], self._listed_ids)
            return self._grade_practice_or_final_submission(
                view, parse_report(result["rows"], view.episode)
            )
        if tool.has_episode_data:
            self._shown_dates.update(collect_dates_of_result_rows(result))
            if view.rules.has_lean_profile:
                self._listed_ids.update(find_series_ids_in_scan_result(result))
        analysis = {"method": method_name, "arguments": dict(raw_arguments), "result": result}
        return Reply(
            ANALYZED, f"{method_name} done.", observation_fields={"analysis_result": analysis}
        )

    def _submit_generated_rows_and_list_all_generated_rows(
        self, view: EpisodeView, generators: Sequence[Any]
    ) -> Reply:
        validate_row_generator_calls(generators)
        rows, _ = run_and_merge_row_generators(view, generators)
        shown_rows = tuple(row for row in rows if row.date in self._shown_dates)
        issues = tuple(
            build_issue_for_row_of_unshown_date(row)
            for row in rows
            if row.date not in self._shown_dates
        )
        reply = self._grade_practice_or_final_submission(view, SubmittedReport(shown_rows, issues))
        reply.observation_fields["generated_rows"] = [row.as_dict() for row in rows]
        return reply

    def _grade_practice_or_final_submission(
        self, view: EpisodeView, report: SubmittedReport
    ) -> Reply:
        grade = grade_report(report, view.episode.expected_rows, include_expected_rows=self.debug)
        self.submission_count += 1
        self.last_report = report
        if self.submission_count < view.rules.max_submissions and grade.score < 1.0:
            return build_practice_submission_reply(self.submission_count, view, grade.breakdown)
        components = compute_reward_of_each_mode_and_score_components(report, grade, view.episode)
        practice_factor = 1.0 - PRACTICE_COST * (self.submission_count - 1)
        reward = round(components[view.rules.reward] * practice_factor, SCORE_DECIMALS)
        reply = build_final_submission_reply(view, report, grade, reward, components)
        if reply.info is not None:
            reply.info[EVIDENCE_SHARE_KEY] = self._compute_evidence_share_of_correct_rows(
                view, report
            )
        return reply

    def _compute_evidence_share_of_correct_rows(
        self, view: EpisodeView, report: SubmittedReport
    ) -> float | None:
        """Return the share of the matched rows whose date a tool had shown before.

        A matched row is a submitted row with the key of an expected row. Return None if there are
        no matched rows. In the lean profile, the share is always 1.
        """
        expected_keys = {row.key for row in view.episode.expected_rows}
        matched = [row for row in report.valid_rows if row.key in expected_keys]
        if not matched:
            return None
        # In the lean profile, every row counts as shown.
        shown_count = sum(
            view.rules.has_lean_profile or row.date in self._shown_dates for row in matched
        )
        return shown_count / len(matched)

    def _build_reset_observation_fields(self, view: EpisodeView) -> dict[str, Any]:
        """Return the observation fields of the reply to a reset.

        They include the instruction, the public configuration and descriptions of the tools.
        """
        tools = select_analysis_tools(
            view.rules, has_drawn_policy=view.has_drawn_policy, product_funnel=view.product_funnel
        )
        funnel = view.episode.config.funnel_with_policy_daytime
        fields: dict[str, Any] = {
            "instruction": view.objective_and_policy_text,
            "config": view.public_config,
            "available_methods": list(build_method_specs(tools, funnel)),
            "expected_row_count": self._get_expected_row_count_if_visible(view),
        }
        if not view.rules.has_lean_profile:
            fields["conversion_metric_definitions"] = funnel.list_rate_definitions()
        if not view.rules.has_raw_disclosure:
            fields["applied_synthetic_generators"] = list(view.episode.applied_anomalies)
        if not view.rules.has_lean_profile and not view.rules.has_raw_disclosure:
            fields |= {
                "available_synthetic_generator_methods": available_synthetic_generator_methods(),
                "available_tasks": available_task_specs(),
            }
        if self.debug:
            fields["debug"] = build_debug_fields_with_expected_rows_and_plan(view.episode)
        return fields
