"""Replies to submitted reports, and the fields that debug mode adds to the reply to a reset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.engine.configuration.play_rules import PRACTICE_COST, SCORE_FEEDBACK
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.grading.grader import FunnelGrade, copy_breakdown_with_row_counts_only
from metric_tracker_rl.engine.report.parse_report import (
    SubmittedReport,
    build_invalid_row_issue,
    build_report_preview,
)
from metric_tracker_rl.wire_models import RewardBreakdown, SubmissionIssue
from openenv_kit.environment import Reply
from openenv_kit.reply import SCORE_COMPONENTS_KEY

IN_PROGRESS = "in_progress"
EVALUATED = "evaluated"


def build_final_submission_reply(
    view: EpisodeView,
    report: SubmittedReport,
    grade: FunnelGrade,
    reward: float,
    components: Mapping[str, float],
) -> Reply:
    """Create the reply to the last submission, which ends the episode.

    With feedback "score", the reply contains only the score. With full feedback, it contains the
    score breakdown and, except in the lean profile, the issues of individual rows. `info` contains
    the reward components for trainers that use several rewards.

    Args:
        view: the episode and its play rules.
        report: the submitted report.
        grade: the report's grade.
        reward: final reward of the episode, in [0, 1].
        components: reward of every reward mode and all score components, by name.
    """
    breakdown = grade.breakdown
    if view.rules.feedback == SCORE_FEEDBACK:
        return Reply(
            EVALUATED,
            f"Score {reward:.4f}.",
            reward=reward,
            done=True,
            observation_fields={"reward_breakdown": RewardBreakdown(total_score=reward)},
        )
    observation_fields: dict[str, Any] = {
        "correct_row_count": breakdown.matched_rows,
        "reward_breakdown": breakdown.model_copy(update={"total_score": reward}),
    }
    if not view.rules.has_lean_profile:
        observation_fields |= {
            "submission_preview": build_report_preview(report),
            "submission_issues": list(grade.issues),
            "submitted_rows": [row.as_dict() for row in report.valid_rows],
        }
    return Reply(
        EVALUATED,
        f"Score {reward:.4f}: {breakdown.matched_rows} of {breakdown.expected_rows} expected rows "
        f"matched, {breakdown.extra_rows} extra, {breakdown.duplicate_rows} repeated, "
        f"{breakdown.invalid_rows} invalid.",
        reward=reward,
        done=True,
        observation_fields=observation_fields,
        info={SCORE_COMPONENTS_KEY: dict(components)},
    )


def build_practice_submission_reply(
    submission_number: int, view: EpisodeView, breakdown: RewardBreakdown
) -> Reply:
    """Create the reply to a practice submission, after which the episode continues.

    The reply contains the number of matched rows but not the score.
    """
    expected_text = "" if view.hides_counts else f" of {breakdown.expected_rows} expected"
    return Reply(
        IN_PROGRESS,
        f"Practice submission {submission_number} of {view.rules.max_submissions}: "
        f"{breakdown.matched_rows}{expected_text} rows matched. "
        f"Each submission before the last costs {PRACTICE_COST:.0%} of the final score.",
        observation_fields={
            "correct_row_count": breakdown.matched_rows,
            "reward_breakdown": copy_breakdown_with_row_counts_only(
                breakdown, include_expected_count=not view.hides_counts
            ),
        },
    )


def build_issue_for_row_of_unshown_date(row: ReportRow) -> SubmissionIssue:
    """Create the issue of a row that is invalid because no tool has shown its date to the player.

    Such rows can only come from a row generator.
    """
    message = (
        f"No analysis method has shown {row.date}; payload_generators may only report dates that "
        "one has shown."
    )
    return build_invalid_row_issue(row.key.as_text(), message, row.as_dict())


def build_debug_fields_with_expected_rows_and_plan(episode: FunnelEpisode) -> dict[str, Any]:
    """Return hidden facts about an episode, which only servers in debug mode may send.

    They are the expected rows, the planned anomalies, the seed and the number of attempts that
    generating the episode took.
    """
    return {
        "expected_rows": [row.as_dict() for row in episode.expected_rows],
        "anomaly_schedule": [
            {
                "date": episode.dates[anomaly.day],
                **anomaly.root._asdict(),
                "effect": repr(anomaly.effect),
            }
            for anomaly in episode.generated.planned_anomalies
        ],
        "seed": episode.config.seed,
        "draws": episode.generated.attempts,
    }
