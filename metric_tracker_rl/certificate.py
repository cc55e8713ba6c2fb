"""Certificates: proof, per episode, that it is solvable from the tools.

The unit of work is one configuration; `certify_one` is a pure function of it, so any engine
of parallel work can run it anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from metric_tracker_rl.config import SCENARIO_FAMILIES, EpisodeConfig
from metric_tracker_rl.driver import play
from metric_tracker_rl.episode import episode_from_draw
from metric_tracker_rl.generator import generate, guard_violations
from metric_tracker_rl.levels import LEVELS
from metric_tracker_rl.play import EpisodeView, PlayRules
from metric_tracker_rl.policies import get_policy
from metric_tracker_rl.session import EpisodeSession
from metric_tracker_rl.tasks import CUSTOM_TASK_ID

COUNTS = (1, 3, 5)
ZERO_FAMILY = "mixed"
"""Family whose zero-anomaly episodes are certified; with no anomaly, families look alike."""


@dataclass(frozen=True)
class Certificate:
    """What was found out about one episode.

    Attributes:
        score: score of the reference policy, playing through the tools.
        steps: steps it took.
        draws: draws the generator needed.
        guard_violations: deviations inside the guard band of their threshold.
    """

    config: EpisodeConfig
    score: float
    steps: int
    draws: int
    guard_violations: int

    @property
    def holds(self) -> bool:
        """Whether the episode is proven solvable and nothing in it is too close to call."""
        return self.score == 1.0 and self.guard_violations == 0


def certify_one(config: EpisodeConfig) -> Certificate:
    """Certify one episode, generated afresh."""
    draw = generate(config)
    session = EpisodeSession()
    opening = session.open(
        CUSTOM_TASK_ID, EpisodeView(episode_from_draw(config, draw), PlayRules())
    )
    outcome = play(session, get_policy("reference"), opening)
    return Certificate(
        config, outcome.score, outcome.steps, draw.draws, guard_violations(draw.series)
    )


def certify_many(configs: Sequence[EpisodeConfig]) -> list[Certificate]:
    """Certify a batch, in order."""
    return [certify_one(config) for config in configs]


def grid(
    seeds: Iterable[int],
    families: Sequence[str] = SCENARIO_FAMILIES,
    difficulties: Sequence[str] = tuple(LEVELS),
    counts: Sequence[int] = COUNTS,
) -> Iterator[EpisodeConfig]:
    """Configurations of every combination, and zero-anomaly ones for one family."""
    for seed, family, difficulty in product(seeds, families, difficulties):
        for count in (*counts, *((0,) if family == ZERO_FAMILY else ())):
            yield EpisodeConfig(
                seed=seed, scenario_family=family, difficulty=difficulty, anomaly_count=count
            )
