"""What the learner sees of an episode: flagged rows, and what else is flagged that day.

Everything here comes out of two tool results, `task_overview` and `payload_generator` with
every row generator at multiplier 0. Those rows hold every root and every echo; which of
them a report should keep is what there is to learn.
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

LOOK: tuple[Action, ...] = (
    build_analysis_action("task_overview"),
    build_analysis_action(
        "payload_generator",
        generator_methods=[
            {"method_name": name, "threshold_multiplier": 0.0} for name in ROW_GENERATOR_NAMES
        ],
        limit=MAX_ROWS_PER_REPLY,
    ),
)
"""The analysis steps whose results `read_candidates` takes, in order."""


@dataclass(frozen=True)
class Candidates:
    """Rows that may belong into the report, with their features.

    Attributes:
        rows: the rows as the tool gave them.
        entity: index of each row's entity among all entities, shape (rows,).
        context: what is flagged on the row's day, shape (rows, 1 + 2 × entities): a constant
            one, then for each entity whether it is flagged above its baseline, then below.
        entities: number of entities.
    """

    rows: tuple[Row, ...]
    entity: NDArray[np.int64]
    context: Floats
    entities: int

    def chosen(self, keep: NDArray[np.bool_]) -> list[Row]:
        """The rows that a mask of shape (rows,) keeps."""
        return [row for row, kept in zip(self.rows, keep.tolist(), strict=True) if kept]


def read_candidates(overview: Mapping[str, Any], generated: Mapping[str, Any]) -> Candidates:
    """Candidates from the results of the two `LOOK` steps."""
    index = {
        (each["entity_type"], each["entity_name"]): number
        for number, each in enumerate(overview["entities"])
    }
    rows: Sequence[Row] = generated["generated_rows"]
    entities = len(index)
    entity = np.array(
        [index[row["entity_type"], row["entity_name"]] for row in rows], dtype=np.int64
    )
    flags: dict[str, Floats] = defaultdict(lambda: np.eye(1, 1 + 2 * entities)[0])
    for row, number in zip(rows, entity.tolist(), strict=True):
        day = flags[row["date"]]
        day[1 + number + (entities if row["delta_value"] < 0 else 0)] = 1.0
    context = np.array([flags[row["date"]] for row in rows]).reshape(len(rows), 1 + 2 * entities)
    return Candidates(tuple(rows), entity, context, entities)
