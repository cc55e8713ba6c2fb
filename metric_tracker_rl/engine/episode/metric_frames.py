"""Data frames with the daily metrics of an episode, for analysts and analysis methods."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metric_tracker_rl.engine.definitions.entity_types import DATA_QUALITY, FUNNEL_STEP
from metric_tracker_rl.engine.definitions.names import WEEKDAYS, BaselineKind
from metric_tracker_rl.engine.reporting_policy.baselines import (
    DAYS_PER_WEEK,
    list_weekday_names_of_first_week,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries, MetricValue


class MetricFrames:
    """Data frames of one episode, with a row for each ISO date and a column for each entity.

    The columns are the event counts, the conversion rates (percent), the funnel steps (percent, the
    same values as their step rates), the daytime share (a fraction) and the data-quality pairs
    (number of events by which a stage exceeds the previous one). All frames are shared and
    read-only.

    Args:
        series: daily series of the episode.
        dates: ISO dates, in order.

    Attributes:
        value: displayed values.
        baseline: baselines of the values; 0 for data-quality pairs.
        deviation: deviations from the baseline. They are relative for counts and rates, and
            absolute for the daytime share. For data-quality pairs, they are the same numbers of
            events as the values.
        flagged: whether a deviation reaches the entity's reporting threshold. A funnel step is
            flagged only if its rate fell.
    """

    def __init__(self, series: DailySeries, dates: Sequence[str]) -> None:
        entities = series.funnel.columns.column_by_entity
        self._series = series
        self._columns = list(entities.values())
        # Lookups in an object index are twice as fast as in an index with pandas' string type.
        self._names = pd.Index([entity.entity_name for entity in entities], dtype=object)
        self._dates = pd.Index(dates, dtype=object, name="date")
        self.value = self._build_frame_with_excess(series.values, series.excess)
        self.baseline = self._build_frame_with_excess(
            np.broadcast_to(series.baselines, series.values.shape), np.zeros_like(series.excess)
        )
        self.deviation = self._build_frame_with_excess(series.deviations, series.excess)
        self.flagged = self._freeze_values_as_frame(self._build_past_threshold_mask())

    def _build_past_threshold_mask(self) -> NDArray[np.bool_]:
        deviations = self.deviation.to_numpy()
        column_by_entity = self._series.funnel.columns.column_by_entity
        entity_types = [each.entity_type for each in column_by_entity]
        thresholds = np.array(
            [
                self._series.limits.get_threshold(entity.entity_type, column)
                for entity, column in column_by_entity.items()
            ]
        )
        is_step = np.array([entity_type == FUNNEL_STEP for entity_type in entity_types])
        is_pair = np.array([entity_type == DATA_QUALITY for entity_type in entity_types])
        has_fallen = deviations <= -thresholds
        is_past_threshold = np.abs(deviations) >= thresholds
        is_impossible = deviations > 0
        return np.where(is_step, has_fallen, np.where(is_pair, is_impossible, is_past_threshold))

    @cached_property
    def value_minus_baseline(self) -> pd.DataFrame:
        """Difference of every value from its baseline, in the unit of the value."""
        return self._freeze_values_as_frame((self.value - self.baseline).to_numpy())

    @cached_property
    def median_over_all_days(self) -> pd.Series[float]:
        """Median of each entity over all dates, rounded for display; 0 for data-quality pairs."""
        return pd.Series(self._series.medians_by_column).iloc[self._columns].set_axis(self._names)

    @cached_property
    def std_dev_from_baseline(self) -> pd.Series[float]:
        """Standard deviation of each entity from its baseline, √ mean (value − baseline)²."""
        # Not computed by pandas, whose sums differ in their last bits between versions.
        return (
            pd.Series(self._series.std_devs_from_baseline).iloc[self._columns].set_axis(self._names)
        )

    @cached_property
    def baseline_by_weekday_if_any(self) -> pd.DataFrame:
        """Baselines of all entities by weekday, starting with Monday.

        The frame is empty if all days have the same baseline.
        """
        if self._series.level.baseline != BaselineKind.SAME_WEEKDAY:
            return self.baseline.iloc[:0]
        first_week = list_weekday_names_of_first_week(self._dates[0])
        return self.baseline.iloc[:DAYS_PER_WEEK].set_axis(first_week).loc[list(WEEKDAYS)]

    def find_column_positions_of_entities(self, entity_names: Sequence[str]) -> NDArray[np.intp]:
        """Return the column positions of named entities, which are the same in all frames.

        Looking up a name in a frame takes longer than most computations with its column. Methods
        that read many entities therefore look up the positions once and use them to index
        `to_numpy()`.
        """
        return self._names.get_indexer(list(entity_names))

    def get_metric_value(self, date: str, entity_name: str) -> MetricValue:
        """Return the value, baseline and deviation of an entity on a date."""
        return MetricValue(
            float(self.value.at[date, entity_name]),
            float(self.baseline.at[date, entity_name]),
            float(self.deviation.at[date, entity_name]),
        )

    def _build_frame_with_excess(
        self, metric_values: NDArray[np.float64], excess_counts: NDArray[np.int64]
    ) -> pd.DataFrame:
        """Build a read-only frame with a row for each date and a column for each entity.

        Args:
            metric_values: values of the counts, rates and daytime share, with a row for each day.
            excess_counts: number of events by which each stage exceeds the previous one, with a row
                for each day.
        """
        return self._freeze_values_as_frame(
            np.concatenate([metric_values, excess_counts], axis=1)[:, self._columns]
        )

    def _freeze_values_as_frame(self, values: NDArray[np.generic]) -> pd.DataFrame:
        values.setflags(write=False)
        return pd.DataFrame(values, self._dates, self._names, copy=False)
