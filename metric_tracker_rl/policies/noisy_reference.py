"""Policies of adjustable strength, which randomize some decisions of the reference policy.

The reference policy decides for each flagged series whether to report it. A noisy reference policy
makes some of these decisions at random, so its rollouts of one episode differ from each other like
the rollouts of a model.
"""

from __future__ import annotations

import random

from metric_tracker_rl.policies.base import ObservationJson, PolicySteps, build_analysis_action
from metric_tracker_rl.policies.lean_reference import (
    request_calendar_and_find_root_ids,
    scan_all_flagged_series,
)

RANDOM_SHARES = (0.05, 0.15, 0.30, 0.50, 0.80)
"""Shares of random decisions, from the strongest policy to the weakest."""


def submit_root_ids_with_random_decisions(
    reset_observation: ObservationJson, *, random_decision_share: float, seed: str
) -> PolicySteps:
    """Play the lean profile like the reference policy, but with some random decisions.

    Args:
        reset_observation: observation of the reset.
        random_decision_share: share of the decisions that are made at random, in [0, 1].
        seed: seed of the random number generator.
    """
    rng = random.Random(seed)
    flagged_series = yield from scan_all_flagged_series()
    root_ids = yield from request_calendar_and_find_root_ids(flagged_series, reset_observation)
    submitted_ids = []
    for series in flagged_series:
        is_random = rng.random() < random_decision_share
        is_reported = rng.random() < 0.5 if is_random else series.series_id in root_ids
        if is_reported:
            submitted_ids.append(series.series_id)
    yield build_analysis_action("submit", ids=submitted_ids)
