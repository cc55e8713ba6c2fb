"""Rewards of a graded report, one for each value of the reset argument `reward`.

`graded` is the grader's score. `exact` is 1 for a perfect report and 0 for any other report.
`key_f1` is a gradual reward for weak models. It compares only the keys of rows, and a report of
flagged series that contains an expected row always earns more than 0. Reporting every flagged
series earns at most 1/5, unless no consequence is flagged and every expected row is reported.

key_f1 = F1 × (1/5 + 4/5 × max(0, recall − share of consequences reported)) − 1/100 × other rows

F1 counts every submitted row, so duplicate and invalid rows cost as much as wrong ones.
A series is flagged on a date if the tool `scan` lists it for that date. Consequences are flagged
series that are neither expected nor explained by the calendar. Other rows are rows about series
that are not flagged. If no row is expected, an empty report earns 1, and any
other report earns 1/5 divided by its number of rows. The reward is never below 0. Tests check these
properties: an additional wrong or duplicate row never raises it, and an additional expected row
never lowers it.
"""

from __future__ import annotations

from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.episode.flagged_series import list_flagged_series_by_id
from metric_tracker_rl.engine.grading.grader import SCORE_DECIMALS, FunnelGrade
from metric_tracker_rl.engine.report.parse_report import SubmittedReport
from metric_tracker_rl.wire_models import SCORE_PENALTIES, SCORE_SHARES
from openenv_kit.rewards import Reward

ALL_FLAGGED_REWARD = 0.2
"""Upper limit of `key_f1` for a report of all flagged series, if some of them are consequences."""
UNFLAGGED_PENALTY = 0.01
"""Penalty on `key_f1` for each row whose series is not flagged, in addition to its effect on F1."""


def compute_reward_of_each_mode_and_score_components(
    report: SubmittedReport, grade: FunnelGrade, episode: FunnelEpisode
) -> dict[str, float]:
    """Compute the reward of a report in every reward mode and the components of its graded score.

    Args:
        report: the submitted report.
        grade: the report's grade.
        episode: the episode that the report is about.

    Returns:
        Numbers in [0, 1] by name. The names are the same for every report.
    """
    components = {name: grade.breakdown[name] for name in (*SCORE_SHARES, *SCORE_PENALTIES)}
    return {
        Reward.GRADED: grade.score,
        Reward.EXACT: float(grade.score == 1.0),
        Reward.KEY_F1: compute_key_f1_reward(report, episode),
        **components,
    }


def compute_key_f1_reward(report: SubmittedReport, episode: FunnelEpisode) -> float:
    """Compute the `key_f1` reward of a report with the formula in the module docstring.

    The reward is in [0, 1].
    """
    expected_keys = {row.key for row in episode.expected_rows}
    is_explained_by_key = {
        flagged.row.key: flagged.is_explained for flagged in list_flagged_series_by_id(episode)
    }
    reported_keys = {row.key for row in report.valid_rows}
    if expected_keys:
        matched_count = len(reported_keys & expected_keys)
        f1 = 2.0 * matched_count / (report.submitted_count + len(expected_keys))
        unexplained_keys = {key for key, explained in is_explained_by_key.items() if not explained}
        consequences = unexplained_keys - expected_keys
        consequence_share = 0.0
        if consequences:
            consequence_share = len(reported_keys & consequences) / len(consequences)
        recall = matched_count / len(expected_keys)
        informedness = max(0.0, recall - consequence_share)
        reward = f1 * (ALL_FLAGGED_REWARD + (1.0 - ALL_FLAGGED_REWARD) * informedness)
    elif report.submitted_count:
        reward = ALL_FLAGGED_REWARD / report.submitted_count
    else:
        reward = 1.0
    unflagged_count = len(reported_keys - is_explained_by_key.keys())
    return round(max(reward - UNFLAGGED_PENALTY * unflagged_count, 0.0), SCORE_DECIMALS)
