"""Column layout of the daily series, which assigns a position to each metric.

The columns are the event counts in funnel order, the step rates, the composite rates and, if the
funnel has one, the daytime share. Some arrays also contain an excess column for each pair of
adjacent stages, with the number of events by which the second stage exceeds the first. All other
modules look up positions in a `ColumnLayout`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
    Entity,
)


class ColumnLayout:
    """Positions of a funnel's metrics in the arrays and lists of daily values.

    Args:
        entity_names_by_type: entity names of a funnel by entity type, each in column order.

    Attributes:
        counts, step_rates, composite_rates: slices of the columns of event counts, step rates and
            composite rates.
        rates: slice of the columns of all conversion rates.
        count_total, rate_total: number of event counts and number of conversion rates.
        has_daytime_share: whether the funnel has a daytime share, which is then the last column
            with a reporting threshold.
        excess: slice of the columns with the excess of each pair of adjacent stages.
        step_rate_columns, composite_rate_columns, excess_columns: the columns of `step_rates`,
            `composite_rates` and `excess` as ranges, for iteration.
        compared: slice of all columns that are compared with a baseline: all except the excess
            columns.
    """

    def __init__(self, entity_names_by_type: Mapping[str, Sequence[str]]) -> None:
        self.count_total = count_total = len(entity_names_by_type[EVENT_COUNT])
        self.rate_total = rate_total = len(entity_names_by_type[CONVERSION_RATE])
        step_total = len(entity_names_by_type[FUNNEL_STEP])
        share = count_total + rate_total
        self.has_daytime_share = bool(entity_names_by_type[HOURLY_MIX])
        first_excess = share + self.has_daytime_share
        end = first_excess + len(entity_names_by_type[DATA_QUALITY])
        self.counts = slice(0, count_total)
        self.step_rates = slice(count_total, count_total + step_total)
        self.composite_rates = slice(count_total + step_total, share)
        self.step_rate_columns = range(count_total, count_total + step_total)
        self.composite_rate_columns = range(count_total + step_total, share)
        self.rates = slice(count_total, share)
        self.excess = slice(first_excess, end)
        self.excess_columns = range(first_excess, end)
        self.compared = slice(0, first_excess)
        self._entity_names_by_type = entity_names_by_type

    @property
    def daytime_share(self) -> int:
        """Column index of the daytime share, the last column with a reporting threshold.

        Raises:
            ValueError: the funnel has no daytime share.
        """
        if not self.has_daytime_share:
            raise ValueError("The funnel has no daytime share.")
        return self.rates.stop

    @cached_property
    def column_by_entity(self) -> dict[Entity, int]:
        """Column index of each entity. A funnel step has the same column as its step rate."""
        first_columns = {
            EVENT_COUNT: self.counts.start,
            CONVERSION_RATE: self.rates.start,
            FUNNEL_STEP: self.step_rates.start,
            HOURLY_MIX: self.rates.stop,
            DATA_QUALITY: self.excess.start,
        }
        return {
            Entity(entity_type, name): first_columns[entity_type] + position
            for entity_type, names in self._entity_names_by_type.items()
            for position, name in enumerate(names)
        }

    def get_column_of_entity(self, entity_type: str, entity_name: str) -> int:
        """Return the column of an entity.

        Raises:
            KeyError: the funnel has no such entity.
        """
        return self.column_by_entity[Entity(entity_type, entity_name)]

    def find_column_of_entity(self, entity_type: object, entity_name: object) -> int | None:
        """Return the column of an entity, or None if the funnel has no such entity."""
        if isinstance(entity_type, str) and isinstance(entity_name, str):
            return self.column_by_entity.get(Entity(entity_type, entity_name))
        return None

    def column_of_step_rate_into(self, stage: int) -> int:
        """Return the column of the rate at which users reach a stage from the previous one.

        Args:
            stage: index of a stage other than the first.
        """
        return self.step_rates.start + stage - 1

    def column_of_step_rate_out_of(self, stage: int) -> int:
        """Return the column of the rate at which users go from a stage to the next one.

        Args:
            stage: index of a stage other than the last.
        """
        return self.step_rates.start + stage

    def step_index_of_column(self, column: int) -> int:
        """Convert the column of a step rate to its index among the step rates."""
        return column - self.step_rates.start

    def rate_index_of_column(self, column: int) -> int:
        """Convert the column of a conversion rate to its index among all conversion rates."""
        return column - self.rates.start

    def excess_column_of_pair(self, pair: int) -> int:
        """Return the excess column of a pair of adjacent stages.

        Args:
            pair: index of the pair. Pair 0 consists of the first and the second stage.
        """
        return self.excess.start + pair

    def pair_index_of_column(self, column: int) -> int:
        """Convert an excess column to the index of its pair of adjacent stages."""
        return column - self.excess.start

    def is_excess_column(self, column: int) -> bool:
        """Return whether a column counts the events by which a stage exceeds the previous one."""
        return column >= self.excess.start

    def is_conversion_rate_column(self, column: int) -> bool:
        """Return whether a column contains a conversion rate."""
        return self.rates.start <= column < self.rates.stop

    def is_event_count_column(self, column: int) -> bool:
        """Return whether a column contains an event count."""
        return column < self.counts.stop

    def has_relative_deviations(self, column: int) -> bool:
        """Return whether deviations in a column are divided by the baseline.

        This is so for counts and rates, but not for the daytime share and the excess columns.
        """
        return column < self.rates.stop
