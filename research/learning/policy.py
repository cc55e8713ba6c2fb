"""The learner: one weight vector for each entity, a coin for each candidate row."""

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
from research.learning.features import LOOK, Candidates, Floats, Row, read_candidates

ENTITIES = len(ORDERING_APP.entities)
RELUCTANCE = 3.0
"""How unwilling an untrained policy is to report anything, as a logit: about one row in 21.

It starts beside the floor, where most rollouts score nothing, so that whatever it reaches
later it has learnt; from fair coins it would start level with the best label-blind policy.
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
        """A policy that knows nothing and reports little."""
        weights = np.zeros((entities, 1 + 2 * entities))
        weights[:, 0] = -RELUCTANCE
        return cls(weights)

    def probabilities(self, candidates: Candidates) -> Floats:
        """Probability of reporting each candidate, shape (rows,)."""
        logits = np.einsum("rf,rf->r", self.weights[candidates.entity], candidates.context)
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT))))

    def draw(
        self, candidates: Candidates, rollouts: int, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Independent reports: which candidates each rollout keeps, shape (rollouts, rows)."""
        chances = self.probabilities(candidates)
        return np.asarray(rng.random((rollouts, len(chances))) < chances)

    def choice(self, candidates: Candidates) -> list[Row]:
        """The rows it would report without exploring: those more likely in than out."""
        return candidates.chosen(self.probabilities(candidates) > 0.5)

    def as_policy(self, name: str = "learned") -> Policy:
        """The same choice as a scripted policy, which plays wherever those play."""

        def play(_: ObservationJson) -> PolicySteps:
            overview = require_analysis_result((yield LOOK[0]))
            generated = require_analysis_result((yield LOOK[1]))
            yield build_submit_action(self.choice(read_candidates(overview, generated)))

        return Policy(name, "Reports the rows that a trained RowPolicy keeps.", play)
