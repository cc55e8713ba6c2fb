"""Players of any strength: the reference, with a share of its decisions made at random.

What the reference decides of each candidate is whether to report it. A noisy player decides some of
them by a coin instead, so groups of its plays of one episode differ as a model's rollouts do.
"""

from __future__ import annotations

import random

from metric_tracker_rl.policies.base import ObservationJson, PolicySteps, build_analysis_action
from metric_tracker_rl.policies.lean_reference import find_root_ids, scan_flagged_series

RANDOM_SHARES = (0.05, 0.15, 0.30, 0.50, 0.80)
"""Shares of decisions made at random, from the strongest player to the weakest."""


def noisy_reference(
    reset_observation: ObservationJson, *, random_share: float, seed: str
) -> PolicySteps:
    """Submits the ids that the reference would, but for decisions made by a coin.

    It plays in the lean profile.

    Args:
        reset_observation: which tells whether the policy was drawn.
        random_share: of the decisions that are made at random, in [0, 1].
        seed: of the random numbers; the same seed, the same play.
    """
    draw = random.Random(seed)
    candidates = yield from scan_flagged_series()
    right = yield from find_root_ids(candidates, reset_observation)
    chosen = [
        number
        for _date, number, *_rest in candidates
        if (draw.random() < 0.5 if draw.random() < random_share else number in right)
    ]
    yield build_analysis_action("submit", ids=chosen)
