"""A task under construction, and how a setting of a release comes to read."""

from __future__ import annotations

from dataclasses import dataclass, field

from firewatch_env.engine.catalogue import CATALOGUE, OPTIONAL_CALLS
from firewatch_env.engine.levers import LEVERS
from firewatch_env.engine.randomness import BitStream
from firewatch_env.engine.service import Setting
from firewatch_env.engine.world import Circumstance
from firewatch_env.tasks.causes import KEYS, VALUES
from firewatch_env.tasks.places import Place
from firewatch_env.tasks.task import Put


@dataclass(slots=True)
class Sketch:
    """What has been put into a task so far; the fault comes first."""

    place: Place
    difficulty: str
    features: dict[str, dict[str, float]]
    puts: list[Put] = field(default_factory=list)
    circumstances: list[Circumstance] = field(default_factory=list)
    twins: dict[str, Setting] = field(default_factory=dict)
    """By service at fault: another change there that reads as if it could have done it."""

    def ranked(self, service: str) -> list[str]:
        """A service's features, the most used first."""
        return sorted(self.features[service], key=lambda f: -self.features[service][f])

    def sets(self, service: str, lever: str) -> bool:
        """Whether a release of the service moves a lever, or is to."""
        releases = [put.release.settings for put in self.puts if put.service == service]
        twin = self.twins.get(service)
        return (twin is not None and twin.lever == lever) or any(
            each.lever == lever for settings in releases for each in settings
        )

    def callees(self, service: str) -> list[str]:
        """Services of the task that this one cannot do without."""
        return [
            callee
            for callee, _ in CATALOGUE[service].calls
            if callee in self.features and (service, callee) not in OPTIONAL_CALLS
        ]


def neutral(family: str) -> float:
    """A family's value on an ordinary day."""
    return LEVERS[family].usual


def setting(
    lever: str, before: float, after: float, draws: BitStream,
    pulse: tuple[int, int, int] | None = None,
    keys: tuple[str, ...] = (),
) -> Setting:  # fmt: skip
    """A line of a diff.

    Args:
        lever: what it moves, with its channel.
        before: the lever's value, as after.
        after: see before.
        draws: for the key and the values that the line shows.
        pulse: see Setting.
        keys: last parts that the name may have; by default all that the family allows.
    """
    family, _, channel = lever.partition(".")
    old, new = draws.pick(VALUES)
    key = draws.pick(keys or KEYS[family])
    return Setting(lever, before, after, f"{channel or 'all'}.{key}", old, new, pulse)
