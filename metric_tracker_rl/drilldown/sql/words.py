"""What a player is told about SQL."""

from __future__ import annotations

from typing import Any

from metric_tracker_rl.drilldown.domains import Domain
from metric_tracker_rl.drilldown.sql.database import (
    DIGITS,
    MOST_BYTES,
    MOST_MEGABYTES,
    MOST_ROWS,
    MOST_SECONDS,
)
from metric_tracker_rl.drilldown.sql.guard import (
    AGGREGATES,
    DATES,
    MOST_CHARACTERS,
    NUMBERS,
    TABLE,
    TEXTS,
    WINDOWS,
)

IN_ONE_REPLY = {"rows_in_one_reply": MOST_ROWS, "bytes_in_one_reply": MOST_BYTES}

RULES = f"""\
One SELECT of DuckDB's SQL a call, of at most {MOST_CHARACTERS:,} characters, over the one table \
{TABLE}: joins, subqueries, WITH, GROUPING SETS, CUBE, QUALIFY and windows work; nothing is kept \
between calls. There are no lists, no building of strings, no table functions, no WITH RECURSIVE \
and nothing of chance. Rows that ORDER BY leaves equal come in the order of their columns. \
Fractions are told with {DIGITS} significant digits. A query is stopped after {MOST_SECONDS:g} \
seconds of work, or when it needs more than {MOST_MEGABYTES} MB. A refused query costs a call and \
nothing of the budget."""


def described(domain: Domain) -> dict[str, Any]:
    """The table, what its rows are, and what queries may use."""
    return {
        "table": TABLE,
        "one_row": "one leaf (one value of each dimension) on one day",
        "columns": {
            **{dim.name: "ENUM in the order of dimensions" for dim in domain.dims},
            "date": "DATE",
            **dict.fromkeys(domain.stages, "INTEGER: people who reached that stage"),
        },
        "rules": RULES,
        "functions": {
            "numbers": " ".join(sorted(NUMBERS)),
            "dates": " ".join(sorted(DATES)),
            "text": " ".join(sorted(TEXTS)),
            "aggregates": " ".join(sorted(AGGREGATES)),
            "windows": " ".join(sorted(WINDOWS)),
        },
    }
