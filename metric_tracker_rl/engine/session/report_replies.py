"""What a player is told when a report was graded, and what debug mode adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.engine.configuration.play_rules import (
    PRACTICE_COST,
    SCORE_FEEDBACK,
    EpisodeView,
)
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.grading.grader import FunnelGrade, remove_scores
from metric_tracker_rl.engine.report.parse_report import (
    SubmittedReport,
    build_invalid_row_issue,
    preview_report,
)
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow
from metric_tracker_rl.wire_models import RewardBreakdown, SubmissionIssue
from openenv_kit.environment import Reply
from openenv_kit.reply import SCORE_COMPONENTS_KEY

IN_PROGRESS = "in_progress"
EVALUATED = "evaluated"


def build_final_reply(
    view: EpisodeView,
    report: SubmittedReport,
    grade: FunnelGrade,
    reward: float,
    components: Mapping[str, float],
) -> Reply:
    """What the last submission is told: the score, and with full feedback what it is made of.

    Remarks on single rows are left out in the lean profile, whose replies are short. The
    components of the reward travel beside the observation, for trainers that take several.
    """
    got = grade.breakdown
    if view.rules.feedback == SCORE_FEEDBACK:
        only_score = {"reward_breakdown": RewardBreakdown(total_score=reward)}
        return Reply(
            EVALUATED,
            f"Score {reward:.4f}.",
            reward=reward,
            done=True,
            observation_fields=only_score,
        )
    content: dict[str, Any] = {
        "correct_row_count": got.matched_rows,
        "reward_breakdown": got.model_copy(update={"total_score": reward}),
    }
    if not view.rules.is_lean:
        content |= {
            "submission_preview": preview_report(report),
            "submission_issues": list(grade.issues),
            "submitted_rows": [row.as_dict() for row in report.valid_rows],
        }
    return Reply(
        EVALUATED,
        f"Score {reward:.4f}: {got.matched_rows} of {got.expected_rows} expected rows matched, "
        f"{got.extra_rows} extra, {got.duplicate_rows} repeated, {got.invalid_rows} invalid.",
        reward=reward,
        done=True,
        observation_fields=content,
        info={SCORE_COMPONENTS_KEY: dict(components)},
    )


def build_practice_reply(
    submission_number: int, view: EpisodeView, breakdown: RewardBreakdown
) -> Reply:
    """What a submission before the last is told: how many rows matched, never which."""
    of_all = "" if view.hides_counts else f" of {breakdown.expected_rows} expected"
    return Reply(
        IN_PROGRESS,
        f"Practice submission {submission_number} of {view.rules.max_submissions}: "
        f"{breakdown.matched_rows}{of_all} rows matched. "
        f"Each submission before the last costs {PRACTICE_COST:.0%} of the final score.",
        observation_fields={
            "correct_row_count": breakdown.matched_rows,
            "reward_breakdown": remove_scores(breakdown, include_expected=not view.hides_counts),
        },
    )


def build_unseen_row_issue(row: ReportRow) -> SubmissionIssue:
    """A generated row of a date of which the player has been shown nothing."""
    message = (
        f"Nothing of {row.date} has been shown: payload_generators reports on dates that an "
        "analysis method has shown before."
    )
    return build_invalid_row_issue("|".join(row.key), message, row.as_dict())


def build_debug_content(episode: FunnelEpisode) -> dict[str, Any]:
    """The answer and the schedule behind it; for servers started in debug mode only."""
    return {
        "expected_rows": [row.as_dict() for row in episode.expected_rows],
        "anomaly_schedule": [
            {
                "date": episode.dates[cause.day],
                **cause.root._asdict(),
                "effect": repr(cause.effect),
            }
            for cause in episode.generated.planned_anomalies
        ],
        "seed": episode.config.seed,
        "draws": episode.generated.attempts,
    }
