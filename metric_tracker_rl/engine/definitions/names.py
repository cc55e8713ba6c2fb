"""Names that requests and replies use for play modes and settings of the reporting policy.

The module imports nothing from the engine, so that a client can load it without the other modules.
"""

from __future__ import annotations

from enum import StrEnum

from openenv_kit.rewards import Reward


class Profile(StrEnum):
    """Value of the reset argument `profile`, which selects the tools of an episode."""

    STANDARD = "standard"
    """All analysis methods."""
    LEAN = "lean"
    """A small set of tools with short results."""


class Disclosure(StrEnum):
    """Value of the reset argument `disclosure`, which selects what the tools reveal."""

    GUIDED = "guided"
    """Tools return flags and severities in addition to values."""
    RAW = "raw"
    """Tools return only values, medians and hourly counts."""


class PolicySource(StrEnum):
    """Value of the reset argument `policy`, which selects the source of the reporting policy."""

    STANDARD = "standard"
    """The policy of the episode's level."""
    VARIED = "varied"
    """A policy that is drawn for the episode."""


class ScanContent(StrEnum):
    """What the tool `scan` of the lean profile lists on a level."""

    FLAGGED = "flagged"
    """The series that are flagged."""
    DEVIATIONS = "deviations"
    """The series that deviate noticeably, flagged or not."""
    DATES = "dates"
    """The dates on which a series deviates noticeably."""


class BaselineKind(StrEnum):
    """Kind of baseline with which the values of a daily series are compared."""

    ALL_DAYS = "all_days_median"
    """The median over all days of the episode."""
    SAME_WEEKDAY = "same_weekday_median"
    """The median over the days that fall on the same weekday."""


class LeakReport(StrEnum):
    """Rule that selects the composite rate to report for a slow leak.

    In a slow leak, conversion rates over several steps are flagged, but no rate of a single step.
    """

    SHORTEST = "shortest_composite"
    LONGEST = "longest_composite"


# Plain strings, because the error message for an unknown name suggests the nearest one.
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
