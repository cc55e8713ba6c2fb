"""Rewards: what a graded report pays, by the mode that its reset chose.

`graded` is the grader's score. `exact` is 1 for a perfect report and 0 for any other. `key_f1` is
smooth, for models that are weak as yet: it looks at keys alone, not at values or words, and
something right among what is flagged always earns something. Reporting everything flagged earns a
little too, but never more than a fifth, unless there are no echoes and everything is right.

key_f1 = F1 × (1/5 + 4/5 × max(0, recall − share of the echoes reported)) − 1/100 × other rows

F1 counts every submitted row, so that repeated and invalid ones cost as false ones do. Echoes are
what is flagged and neither right nor explained by the calendar. Where nothing is expected, an empty
report pays 1 and another one a fifth divided by its rows. Other rows are those that name nothing
flagged. It is never below 0. Laws that tests hold
it to: an added false or repeated row never raises it, and an added true one never lowers it.
"""

from __future__ import annotations

from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.episode.flagged_series import list_flagged_series
from metric_tracker_rl.engine.grading.grader import SCORE_DECIMALS, FunnelGrade
from metric_tracker_rl.engine.report.parse_report import SubmittedReport
from metric_tracker_rl.wire_models import SCORE_PENALTIES, SCORE_SHARES
from openenv_kit.rewards import Reward

ALL_FLAGGED_REWARD = 0.2
"""Most that a report of everything flagged pays under `key_f1`, where echoes are among it."""
UNFLAGGED_PENALTY = 0.01
"""What a row costs under `key_f1` that is not among what is flagged, beside being a false one."""


def compute_reward_components(
    report: SubmittedReport, grade: FunnelGrade, episode: FunnelEpisode
) -> dict[str, float]:
    """The reward of every mode, and the shares and penalties behind the graded one.

    Args:
        report: what was submitted.
        grade: the report's grade.
        episode: what it is about.

    Returns:
        Numbers in [0, 1] by name, the same names for every report.
    """
    shares = {name: grade.breakdown[name] for name in (*SCORE_SHARES, *SCORE_PENALTIES)}
    return {
        Reward.GRADED: grade.score,
        Reward.EXACT: float(grade.score == 1.0),
        Reward.KEY_F1: compute_key_f1(report, episode),
        **shares,
    }


def compute_key_f1(report: SubmittedReport, episode: FunnelEpisode) -> float:
    """The smooth reward of a report, in [0, 1]; see the module."""
    right = {row.key for row in episode.expected_rows}
    flagged = {each.row.key: each.is_explained for each in list_flagged_series(episode)}
    keys = {row.key for row in report.valid_rows}
    if right:
        matched = len(keys & right)
        f1 = 2.0 * matched / (report.submitted_count + len(right))
        echoes = {key for key, explained in flagged.items() if not explained} - right
        reported = len(keys & echoes) / len(echoes) if echoes else 0.0
        informedness = max(0.0, matched / len(right) - reported)
        worth = f1 * (ALL_FLAGGED_REWARD + (1.0 - ALL_FLAGGED_REWARD) * informedness)
    else:
        worth = ALL_FLAGGED_REWARD / report.submitted_count if report.submitted_count else 1.0
    unflagged = len(keys - flagged.keys())
    return round(max(worth - UNFLAGGED_PENALTY * unflagged, 0.0), SCORE_DECIMALS)
