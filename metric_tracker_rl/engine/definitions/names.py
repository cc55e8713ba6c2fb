"""The fixed words of the contract: entity types, anomaly types, methods, severities.

Plain text and nothing else, so that both the engine and a bare client can read it.
"""

from __future__ import annotations

EVENT_COUNT = "event_count"
CONVERSION_RATE = "conversion_rate"
FUNNEL_STEP = "funnel_step"
HOURLY_MIX = "hourly_mix"
DATA_QUALITY = "data_quality"
ENTITY_TYPES = (EVENT_COUNT, CONVERSION_RATE, FUNNEL_STEP, HOURLY_MIX, DATA_QUALITY)

RATE_DROP = "rate_drop_from_median"
RATE_SPIKE = "rate_spike_from_median"
COUNT_DROP = "absolute_drop_in_event_count"
COUNT_SPIKE = "absolute_spike_in_event_count"
FUNNEL_BREAK = "funnel_break"
MIX_SHIFT = "hourly_traffic_mix_shift"
QUALITY_ISSUE = "instrumentation_data_quality_issue"
ROW_DESCRIPTIONS = {
    RATE_DROP: "conversion rates far below their median",
    RATE_SPIKE: "conversion rates far above their median",
    COUNT_DROP: "event counts far below their median",
    COUNT_SPIKE: "event counts far above their median",
    FUNNEL_BREAK: "funnel steps whose rate fell by at least the break threshold",
    MIX_SHIFT: "dates whose daytime share is far from its median",
    QUALITY_ISSUE: "adjacent stages with impossible counts in some hour",
}
"""What the rows of each anomaly type are about, in the words of its row generator."""
ANOMALY_TYPES = tuple(ROW_DESCRIPTIONS)

DETECTION_METHODS: dict[str, str] = {
    CONVERSION_RATE: "compare_rate_to_median",
    EVENT_COUNT: "compare_count_to_median",
    FUNNEL_STEP: "detect_funnel_break",
    HOURLY_MIX: "hourly_rows_for_date",
    DATA_QUALITY: "check_impossible_counts",
}
"""The analysis method that shows an entity type, which a report must name."""

SEVERITIES = ("low", "medium", "high", "critical")

MEDIAN_FILTER = "median_filter"
ROW_GENERATOR_NAMES = (MEDIAN_FILTER, *ANOMALY_TYPES)
"""Names of the row generators; each is also the analysis method `get_<name>_rows`."""

STANDARD, LEAN = PROFILES = ("standard", "lean")
"""Which tools an episode offers: every analysis method, or six whose replies cost few tokens."""

GUIDED, RAW = DISCLOSURES = ("guided", "raw")
"""What its tools tell: what is flagged and how severe it is, or values, medians and hours only."""

_, VARIED = REPORTING_POLICIES = (STANDARD, "varied")
"""Which reporting policy is in force: the one of the level, or one drawn for the episode."""

ALL_DAYS, SAME_WEEKDAY = BASELINES = ("all_days_median", "same_weekday_median")
"""What a daily series is held against."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SHORTEST, LONGEST = LEAK_REPORTS = ("shortest_composite", "longest_composite")
"""Which of several flagged composite rates a slow leak is reported as."""

GRADED, EXACT, KEY_F1 = REWARDS = ("graded", "exact", "key_f1")
"""What the end of an episode pays."""

DIRECTIONS = ("up", "down", "auto")
STDDEV_SHIFT = "metric_stddev_shift"
CUSTOM_ANOMALY_METHODS = (STDDEV_SHIFT,)
