"""How hard an episode is for a fixed panel of scripted players, as a number in [0, 1]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any, Protocol, runtime_checkable

from openenv_kit.environment import ERROR, Environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.play.driver import play


@runtime_checkable
class Panelled(Protocol):
    """An environment with a panel of its own; without one, all its policies are the panel."""

    def panel_scores(self, reset: Mapping[str, Any]) -> Mapping[str, float]:
        """Score in [0, 1] of each player of the panel, by name, on the episode of a reset."""


def panel_scores(environment: Environment, reset: Mapping[str, Any]) -> Mapping[str, float]:
    """Score of each player of the environment's panel on an episode.

    Raises:
        InvalidValueError: the reset was refused.
    """
    if isinstance(environment, Panelled):
        return environment.panel_scores(reset)
    return scores_of(environment, environment.policies, reset)


def scores_of(
    environment: Environment, policies: Iterable[str], reset: Mapping[str, Any]
) -> dict[str, float]:
    """Score of each of these policies on an episode, each played in process.

    Raises:
        InvalidValueError: the reset was refused.
    """
    scores = {}
    for name in policies:
        session = environment.session()
        opening = session.reset(**reset)
        if opening.status == ERROR:
            raise InvalidValueError("reset", dict(reset), f"a valid reset ({opening.message})")
        scores[name] = play(session, environment.policies[name], opening).score
    return scores


def difficulty_of(scores: Mapping[str, float]) -> float:
    """1 minus the panel's mean score, to four digits: 0 where every player solves the episode."""
    return round(1.0 - fmean(scores.values()), 4)
