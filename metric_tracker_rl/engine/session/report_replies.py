"""What a player is told when a report was graded, and what debug mode adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.engine.configuration.play_rules import (
    PRACTICE_COST,
    SCORE_FEEDBACK,
    EpisodeView,
)
from metric_tracker_rl.engine.episode.episode import Episode
from metric_tracker_rl.engine.grading.grader import Grade, counts_only
from metric_tracker_rl.engine.report.parse_report import Report, invalid_row, preview
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow
from metric_tracker_rl.wire_models import RewardBreakdown, SubmissionIssue
from openenv_kit.environment import Reply
from openenv_kit.session import COMPONENTS

IN_PROGRESS = "in_progress"
EVALUATED = "evaluated"


def final_reply(
    view: EpisodeView,
    report: Report,
    graded: Grade,
    score: float,
    components: Mapping[str, float],
) -> Reply:
    """What the last submission is told: the score, and with full feedback what it is made of.

    Remarks on single rows are left out in the lean profile, whose replies are short. The
    components of the reward travel beside the observation, for trainers that take several.
    """
    got = graded.breakdown
    if view.rules.feedback == SCORE_FEEDBACK:
        only_score = {"reward_breakdown": RewardBreakdown(total_score=score)}
        return Reply(EVALUATED, f"Score {score:.4f}.", reward=score, done=True, content=only_score)
    content: dict[str, Any] = {
        "correct_row_count": got.matched_rows,
        "reward_breakdown": got.model_copy(update={"total_score": score}),
    }
    if not view.rules.lean:
        content |= {
            "submission_preview": preview(report),
            "submission_issues": list(graded.issues),
            "submitted_rows": [row.as_dict() for row in report.rows],
        }
    return Reply(
        EVALUATED,
        f"Score {score:.4f}: {got.matched_rows} of {got.expected_rows} expected rows matched, "
        f"{got.extra_rows} extra, {got.duplicate_rows} repeated, {got.invalid_rows} invalid.",
        reward=score,
        done=True,
        content=content,
        info={COMPONENTS: dict(components)},
    )


def practice_reply(number: int, view: EpisodeView, got: RewardBreakdown) -> Reply:
    """What a submission before the last is told: how many rows matched, never which."""
    of_all = "" if view.hidden else f" of {got.expected_rows} expected"
    return Reply(
        IN_PROGRESS,
        f"Practice submission {number} of {view.rules.max_submissions}: {got.matched_rows}"
        f"{of_all} rows matched. Each submission before the last costs {PRACTICE_COST:.0%} of "
        "the final score.",
        content={
            "correct_row_count": got.matched_rows,
            "reward_breakdown": counts_only(got, with_expected=not view.hidden),
        },
    )


def unseen_row(row: ReportRow) -> SubmissionIssue:
    """A generated row of a date of which the player has been shown nothing."""
    message = (
        f"Nothing of {row.date} has been shown: payload_generators reports on dates that an "
        "analysis method has shown before."
    )
    return invalid_row("|".join(row.key), message, row.as_dict())


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
