"""Difficulty levels, which set the thresholds, the noise and the range of anomaly sizes.

The thresholds are parameters of the reporting policy, and `reporting_policy.drawn_policies` may
replace them for an episode. Noise and separation are parameters of the generator. At a harder
level, days without anomalies are usually noisier, and anomalies are closer to their thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.names import BaselineKind, LeakReport, ScanContent
from metric_tracker_rl.engine.definitions.severity import (
    DEFAULT_SEVERITY_BOUNDS,
    SeverityBounds,
    SeverityBoundsByKind,
)
from metric_tracker_rl.engine.definitions.versions import DRAWN_POLICIES_VERSION, POLICY_VERSION


class Separation(NamedTuple):
    """Range of the sizes of generated anomalies, in multiples of their reporting thresholds."""

    nearest: float
    farthest: float


class ShownDeviations(NamedTuple):
    """Smallest deviations of each kind of series that `scan` takes into account.

    Those of counts and rates are relative; that of the daytime share is absolute.
    """

    counts: float
    rates: float
    share: float


class SeriesThresholds(NamedTuple):
    """Thresholds of a reporting policy that has a separate threshold for each daily series.

    Attributes:
        columns: thresholds of all counts, rates and the daytime share, in column order.
        breaks: smallest relative drop of each funnel step's rate that counts as a funnel break, in
            funnel order.
    """

    columns: tuple[float, ...]
    breaks: tuple[float, ...]


@dataclass(frozen=True)
class FunnelLevel:
    """One difficulty level.

    Attributes:
        name: value of the reset argument `difficulty`.
        count_threshold, rate_threshold, break_threshold: smallest relative deviation that is
            flagged for event counts, conversion rates and funnel steps.
        mix_threshold: smallest absolute deviation that is flagged for the daytime share.
        sampling_noise: factor by which the binomial sampling noise of every hour is multiplied.
        traffic_noise, rate_noise: relative standard deviation of a day's traffic and of its step
            rates.
        shape_noise: standard deviation of a day's relative shift between day and night.
        separation: range from which an anomaly's size is drawn.
        mixed_needs_both: whether a `mixed` episode of two or more anomalies always contains a count
            anomaly and a rate anomaly, if its product allows both.
        days: number of days of an episode, a multiple of seven.
        max_anomalies: largest allowed value of the reset argument `anomaly_count`.
        weekday_factors: traffic factor of each weekday, Monday first; None to use the factors of
            the funnel.
        decoys: number of harmless deviations, which a calendar entry explains and which must not be
            reported; 0 if the level has no calendar.
        has_decoys_like_anomalies: whether decoys are drawn like anomalies, so that only the
            calendar distinguishes them.
        has_drawn_terms: whether some terms of the reporting policy are drawn for each episode. In
            the lean profile, only `overview` states them.
        suspended_anomalies: number of anomalies that are not reported, because the reporting policy
            suspends the rule that would report them.
        suspended_rule: number of the rule that is suspended, 2 to 6; None if there is none. It
            reports no row. Its consequences stay consequences, and its series still count as
            flagged for the other rules.
        threshold_factors: factors of which one is drawn for the thresholds of each kind of series;
            empty if the thresholds are not drawn.
        near_misses: number of days on which a series reaches a threshold that could have been
            drawn, but not the drawn one.
        scan_lists: what the tool `scan` lists.
        shown_deviations: smallest deviations that `scan` lists; None if it lists flagged series.
        bounds_by_kind: severity bounds of each kind of report row.
        baseline: kind of the baseline that values are compared with.
        leak_reports: which of the flagged composite rates is reported if no step rate is flagged.
        wording: number that selects a wording of the policy's text; 0 is the default wording.
        has_drawn_policy: whether the reporting policy was drawn at random for an episode.
        product_threshold_factor: factor by which the thresholds of a user's product are multiplied.
        series_thresholds: threshold of each series, which replaces the threshold of its kind; None
            if all series of a kind share a threshold.
    """

    name: str
    count_threshold: float
    rate_threshold: float
    break_threshold: float
    mix_threshold: float
    sampling_noise: float
    traffic_noise: float
    rate_noise: float
    shape_noise: float
    separation: Separation
    mixed_needs_both: bool
    days: int
    max_anomalies: int
    weekday_factors: tuple[float, ...] | None
    decoys: int
    has_decoys_like_anomalies: bool = False
    has_drawn_terms: bool = False
    suspended_anomalies: int = 0
    suspended_rule: int | None = None
    threshold_factors: tuple[float, ...] = ()
    near_misses: int = 0
    scan_lists: ScanContent = ScanContent.FLAGGED
    shown_deviations: ShownDeviations | None = None
    bounds_by_kind: SeverityBoundsByKind = DEFAULT_SEVERITY_BOUNDS
    baseline: BaselineKind = BaselineKind.ALL_DAYS
    leak_reports: LeakReport = LeakReport.SHORTEST
    wording: int = 0
    has_drawn_policy: bool = False
    product_threshold_factor: float = 1.0
    series_thresholds: SeriesThresholds | None = None

    def __hash__(self) -> int:
        """Return the hash of the name, because hashing all fields slows down cache look-ups."""
        return self.name.__hash__()

    @cached_property
    def severity_bounds_by_entity_type(self) -> dict[str, SeverityBounds]:
        """Severity bounds that apply to each entity type."""
        return self.bounds_by_kind.get_bounds_by_entity_type()

    @property
    def is_zero_baseline_flagged(self) -> bool:
        """Whether a value can be flagged if its baseline is 0."""
        return self.series_thresholds is None

    @property
    def policy_version_with_suffixes(self) -> str:
        """Version of the reporting policy, with a suffix for each optional feature that it uses.

        The features are thresholds for each series, a calendar and parameters drawn at random.
        """
        series = "" if self.series_thresholds is None else "+series"
        calendar = "+calendar" if self.decoys else ""
        drawn = f"+varied{DRAWN_POLICIES_VERSION}" if self.has_drawn_policy else ""
        return f"{POLICY_VERSION}{series}{calendar}{drawn}"


_EASY = FunnelLevel(
    name="easy",
    count_threshold=0.30,
    rate_threshold=0.20,
    break_threshold=0.35,
    mix_threshold=0.08,
    sampling_noise=0.6,
    traffic_noise=0.008,
    rate_noise=0.004,
    shape_noise=0.004,
    separation=Separation(nearest=1.30, farthest=2.00),
    mixed_needs_both=True,
    days=28,
    max_anomalies=7,
    weekday_factors=None,
    decoys=0,
    product_threshold_factor=1.3,
)
_MEDIUM = replace(
    _EASY,
    name="medium",
    count_threshold=0.25,
    rate_threshold=0.15,
    mix_threshold=0.06,
    sampling_noise=0.8,
    traffic_noise=0.012,
    rate_noise=0.006,
    shape_noise=0.006,
    separation=Separation(nearest=1.20, farthest=1.75),
    product_threshold_factor=1.15,
)
_HARD = replace(
    _MEDIUM,
    name="hard",
    count_threshold=0.20,
    rate_threshold=0.10,
    mix_threshold=0.04,
    sampling_noise=1.0,
    traffic_noise=0.016,
    rate_noise=0.008,
    shape_noise=0.008,
    separation=Separation(nearest=1.13, farthest=1.50),
    mixed_needs_both=False,
    product_threshold_factor=1.0,
)
_EXPERT = replace(
    _HARD,
    name="expert",
    count_threshold=0.25,
    sampling_noise=1.2,
    rate_noise=0.006,
    separation=Separation(nearest=1.13, farthest=1.40),
    days=56,
    max_anomalies=12,
    weekday_factors=(0.94, 0.96, 0.98, 1.0, 1.06, 1.11, 1.08),
    decoys=4,
)

LEVELS: dict[str, FunnelLevel] = {level.name: level for level in (_EASY, _MEDIUM, _HARD, _EXPERT)}
"""The named levels, from the easiest to the hardest."""

ANOMALY_COUNT_BY_DENSITY: dict[str, int] = {"low": 2, "medium": 3, "high": 4}
"""Number of planned anomalies for each `anomaly_density`, used if `anomaly_count` is not given."""
