"""Names with a fixed spelling on the wire: modes of play, settings of the reporting policy.

The module imports nothing of the engine, so that a client that only talks to a server can load it.
"""

from __future__ import annotations

from enum import StrEnum

from openenv_kit.rewards import Reward


class Profile(StrEnum):
    """Reset argument `profile`: which tools an episode offers."""

    STANDARD = "standard"
    """Every analysis method."""
    LEAN = "lean"
    """A few tools whose results take few tokens."""


class Disclosure(StrEnum):
    """Reset argument `disclosure`: what the tools return."""

    GUIDED = "guided"
    """Flags and severities beside the values."""
    RAW = "raw"
    """Values, medians and hourly counts only."""


class PolicySource(StrEnum):
    """Reset argument `policy`: where an episode's reporting policy comes from."""

    STANDARD = "standard"
    """The policy of the episode's level."""
    VARIED = "varied"
    """A policy that is drawn for the episode."""


class BaselineKind(StrEnum):
    """What the values of a daily series are compared with."""

    ALL_DAYS = "all_days_median"
    """The median over all days of the episode."""
    SAME_WEEKDAY = "same_weekday_median"
    """The median over the days that fall on the same weekday."""


class LeakReport(StrEnum):
    """Which of several flagged composite rates a slow leak is reported as."""

    SHORTEST = "shortest_composite"
    LONGEST = "longest_composite"


# Plain strings: the error about an unknown name shows the nearest of them.
PROFILES = tuple(profile.value for profile in Profile)
DISCLOSURES = tuple(disclosure.value for disclosure in Disclosure)
POLICY_SOURCES = tuple(source.value for source in PolicySource)
BASELINES = tuple(kind.value for kind in BaselineKind)
LEAK_REPORTS = tuple(report.value for report in LeakReport)
REWARDS = tuple(reward.value for reward in Reward)

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

DIRECTIONS = ("up", "down", "auto")
"""Directions of a custom anomaly; `auto` moves a value further away from its median."""
STDDEV_SHIFT = "metric_stddev_shift"
CUSTOM_ANOMALY_METHODS = (STDDEV_SHIFT,)
"""Methods by which a custom anomaly changes the data."""
