"""The trained policy: logistic regression for each entity, applied to each candidate row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.policies.base import (
    ObservationJson,
    Policy,
    PolicySteps,
    build_submit_action,
    require_analysis_result,
)
from research.learning.features import FEATURE_CALLS, Candidates, Floats, Row, read_candidates

ENTITIES = len(ORDERING_APP.entities)
INITIAL_BIAS = -3.0
"""Logit of an untrained policy, which reports about one row in 21.

With this bias most rollouts score 0 at first, so that a later score was learnt. With a bias of 0 an
untrained policy would score as much as the best label-blind policy.
"""
MAX_LOGIT = 30.0


@dataclass
class RowPolicy:
    """Reports each candidate row with probability sigmoid(weights[entity] · context).

    Attributes:
        weights: shape (entities, 1 + 2 × entities), in the order of `Candidates.context`.
    """

    weights: Floats

    @classmethod
    def untrained(cls, entities: int = ENTITIES) -> RowPolicy:
        """Return a policy that reports every row with the same small probability."""
        weights = np.zeros((entities, 1 + 2 * entities))
        weights[:, 0] = INITIAL_BIAS
        return cls(weights)

    def probabilities(self, candidates: Candidates) -> Floats:
        """Return the probability of reporting each candidate, shape (rows,)."""
        logits = np.einsum("rf,rf->r", self.weights[candidates.entity], candidates.context)
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT))))

    def sample_reports(
        self, candidates: Candidates, rollouts: int, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Draw independent reports. Return the reported candidates, shape (rollouts, rows)."""
        probabilities = self.probabilities(candidates)
        return np.asarray(rng.random((rollouts, len(probabilities))) < probabilities)

    def most_likely_report(self, candidates: Candidates) -> list[Row]:
        """Return the rows with a probability above 0.5."""
        return candidates.select_rows(self.probabilities(candidates) > 0.5)

    def as_policy(self, name: str = "learned") -> Policy:
        """Return a scripted policy that submits the most likely report."""

        def generate_actions(_: ObservationJson) -> PolicySteps:
            overview = require_analysis_result((yield FEATURE_CALLS[0]))
            generated = require_analysis_result((yield FEATURE_CALLS[1]))
            yield build_submit_action(self.most_likely_report(read_candidates(overview, generated)))

        return Policy(name, "Reports the rows that a trained RowPolicy selects.", generate_actions)
