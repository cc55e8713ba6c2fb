"""From a configuration to its episode: draws until one is accepted and the reference solves it.

The reference reads tool answers and nothing else, so every episode is known to be solvable within
its budget.
"""

from __future__ import annotations

from drilldown_env.config import DrillConfig
from drilldown_env.episode import Episode, episode_from_draw
from drilldown_env.generator import Draw, attempt_draw
from drilldown_env.policies.reference import solves
from openenv_kit.errors import GenerationError

MAX_DRAWS = 100


def generate(config: DrillConfig) -> tuple[Draw, Episode, int]:
    """The first draw of a configuration that is accepted and solved, its episode, and its number.

    Both with its roots and with them taken back, for one effort: see `generator`.

    Raises:
        GenerationError: none of `MAX_DRAWS` was.
    """
    for attempt in range(MAX_DRAWS):
        drawn = attempt_draw(config, attempt)
        if isinstance(drawn, str):
            continue
        episodes = [episode_from_draw(config, draw) for draw in drawn]
        if all(solves(episode) for episode in episodes):
            chosen = 0 if config.roots else 1
            return drawn[chosen], episodes[chosen], attempt + 1
    raise GenerationError(f"no draw in {MAX_DRAWS} was accepted.")


def build_episode(config: DrillConfig) -> Episode:
    """The episode of a configuration, packed; see `generate`."""
    return generate(config)[1].packed()
