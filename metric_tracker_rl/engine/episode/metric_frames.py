"""An episode's daily metrics as frames, which analysts and the analysis methods select from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date as Date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from metric_tracker_rl.engine.definitions.names import (
    DATA_QUALITY,
    FUNNEL_STEP,
    SAME_WEEKDAY,
    WEEKDAYS,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import DAYS_PER_WEEK, DailySeries


class MetricFrames:
    """Frames of one episode: a row for each date, ISO text, and a column for each entity's name.

    Columns are the event counts, the conversion rates (percent), the funnel steps (percent, the
    same values as their rates), the daytime share (a fraction) and the data-quality pairs
    (impossible events). All frames are shared and read-only: copy one to change it.

    Attributes:
        value: what each entity was on each date, as it is shown.
        baseline: what the value is held against; 0 for data-quality pairs.
        deviation: relative; absolute for the share, events for data-quality pairs.
        flagged: whether the deviation reaches the entity's reporting threshold; for a funnel step,
            whether its rate fell that far.
    """

    def __init__(self, series: DailySeries, dates: Sequence[str]) -> None:
        funnel, limits = series.funnel, series.level.thresholds
        self._series = series
        self._columns = list(funnel.column_by_entity.values())
        # As Python's own strings: looking one up takes half the time of pandas' strings.
        self._names = pd.Index([name for _, name in funnel.column_by_entity], dtype=object)
        self._dates = pd.Index(dates, dtype=object, name="date")
        pairs = series.excess
        self.value = self._build_frame_with_pairs(series.values, pairs)
        usual = np.broadcast_to(series.baselines, series.values.shape)
        self.baseline = self._build_frame_with_pairs(usual, np.zeros_like(pairs))
        self.deviation = self._build_frame_with_pairs(series.deviations, pairs)
        # A step is flagged where its rate fell, a pair where there is any impossible event.
        change = self.deviation.to_numpy()
        kinds = np.array([kind for kind, _ in funnel.column_by_entity])
        size = np.where(kinds == FUNNEL_STEP, -change, np.abs(change))
        reached = np.where(
            kinds == DATA_QUALITY, size > 0, size >= [limits[kind] for kind in kinds]
        )
        self.flagged = self._build_frame(reached)

    @cached_property
    def difference(self) -> pd.DataFrame:
        """Value minus baseline, in the entity's own unit."""
        return self._build_frame((self.value - self.baseline).to_numpy())

    @cached_property
    def median(self) -> pd.Series[float]:
        """Median over all dates by entity, as it is shown; 0 for data-quality pairs."""
        return pd.Series(self._series.medians_by_column).iloc[self._columns].set_axis(self._names)

    @cached_property
    def std_dev_from_baseline(self) -> pd.Series[float]:
        """Standard deviation from the baseline by entity: √ mean (value − baseline)²."""
        # Not pandas' own: its sums differ in their last bits from version to version.
        return (
            pd.Series(self._series.std_devs_from_baseline).iloc[self._columns].set_axis(self._names)
        )

    @cached_property
    def weekday_baseline(self) -> pd.DataFrame:
        """Baselines by weekday, from Monday on; no rows where all days share theirs."""
        if self._series.level.baseline != SAME_WEEKDAY:
            return self.baseline.iloc[:0]
        first = Date.fromisoformat(self._dates[0]).weekday()
        week = [WEEKDAYS[(first + day) % DAYS_PER_WEEK] for day in range(DAYS_PER_WEEK)]
        return self.baseline.iloc[:DAYS_PER_WEEK].set_axis(week).loc[list(WEEKDAYS)]

    def column_positions(self, entity_names: Sequence[str]) -> Any:
        """Positions of the named entities, which all frames share.

        A lookup in a frame takes longer than what is computed from it: a method that looks at
        many entities looks them up once, and goes on with `to_numpy()`.
        """
        return self._names.get_indexer(list(entity_names))

    def value_at(self, date: str, entity_name: str) -> tuple[float, float, float]:
        """Value, baseline and deviation of an entity on a date."""
        frames = (self.value, self.baseline, self.deviation)
        value, baseline, deviation = (float(each.at[date, entity_name]) for each in frames)
        return value, baseline, deviation

    def _build_frame_with_pairs(self, daily: Any, pairs: Any) -> pd.DataFrame:
        return self._build_frame(np.concatenate([daily, pairs], axis=1)[:, self._columns])

    def _build_frame(self, values: Any) -> pd.DataFrame:
        values.setflags(write=False)
        return pd.DataFrame(values, self._dates, self._names, copy=False)
