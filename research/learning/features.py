"""The learner's features of an episode: flagged rows, and what else is flagged on their day.

The features come from two tool results: `task_overview`, and `payload_generator` with every row
generator at multiplier 0. The rows contain every root and every consequence. The learner has to
learn which of them a report should contain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.analysis_tools.arguments import MAX_ROWS_PER_REPLY
from metric_tracker_rl.engine.definitions.anomaly_types import ROW_GENERATOR_NAMES
from metric_tracker_rl.policies.base import Action, build_analysis_action

Floats = NDArray[np.float64]
Row = dict[str, Any]

FEATURE_CALLS: tuple[Action, ...] = (
    build_analysis_action("task_overview"),
    build_analysis_action(
        "payload_generator",
        generator_methods=[
            {"method_name": name, "threshold_multiplier": 0.0} for name in ROW_GENERATOR_NAMES
        ],
        limit=MAX_ROWS_PER_REPLY,
    ),
)
"""Analysis calls whose results `read_candidates` needs, in order."""


@dataclass(frozen=True)
class Candidates:
    """Rows that may belong to the report, with their features.

    Attributes:
        rows: the rows that the tool returned.
        entity: index of each row's entity among all entities, shape (rows,).
        context: what is flagged on the row's day, shape (rows, 1 + 2 × entities): a constant
            one, then for each entity whether it is flagged above its baseline, then below.
        entities: number of entities.
    """

    rows: tuple[Row, ...]
    entity: NDArray[np.int64]
    context: Floats
    entities: int

    def select_rows(self, keep: NDArray[np.bool_]) -> list[Row]:
        """Return the rows for which a mask of shape (rows,) is true."""
        return [row for row, is_kept in zip(self.rows, keep.tolist(), strict=True) if is_kept]


def read_candidates(overview: Mapping[str, Any], generated: Mapping[str, Any]) -> Candidates:
    """Return the candidates, given the results of the two `FEATURE_CALLS`."""
    index = {
        (entity["entity_type"], entity["entity_name"]): number
        for number, entity in enumerate(overview["entities"])
    }
    rows: Sequence[Row] = generated["generated_rows"]
    entities = len(index)
    entity_numbers = np.array(
        [index[row["entity_type"], row["entity_name"]] for row in rows], dtype=np.int64
    )
    flags_by_date: dict[str, Floats] = defaultdict(lambda: np.eye(1, 1 + 2 * entities)[0])
    for row, number in zip(rows, entity_numbers.tolist(), strict=True):
        flags = flags_by_date[row["date"]]
        flags[1 + number + (entities if row["delta_value"] < 0 else 0)] = 1.0
    context = np.array([flags_by_date[row["date"]] for row in rows]).reshape(
        len(rows), 1 + 2 * entities
    )
    return Candidates(tuple(rows), entity_numbers, context, entities)
