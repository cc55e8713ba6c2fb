"""What a player is told about SQL."""

from __future__ import annotations

from typing import Any

from metric_tracker_rl.drilldown.domains import Domain
from metric_tracker_rl.drilldown.sql.bounds import MOST_SECONDS
from metric_tracker_rl.drilldown.sql.database import (
    DIGITS,
    MOST_BYTES,
    MOST_MEGABYTES,
    MOST_ROWS,
)
from metric_tracker_rl.drilldown.sql.guard import (
    AGGREGATES,
    DATES,
    MOST_CHARACTERS,
    NUMBERS,
    TABLE,
    TEXTS,
)

IN_ONE_REPLY = {"rows_in_one_reply": MOST_ROWS, "bytes_in_one_reply": MOST_BYTES}

RULES = f"""\
One SELECT of DuckDB's SQL a call, of at most {MOST_CHARACTERS:,} characters, over the one table \
{TABLE}: WHERE, GROUP BY, aggregates with FILTER, HAVING, ORDER BY, LIMIT, CASE and arithmetic. \
There are no joins, no subqueries, no WITH, no windows, no DISTINCT and no GROUPING SETS. A column \
of counts stands alone inside an aggregate, as in sum(x), and nowhere else: WHERE, FILTER and \
GROUP BY see attributes and date. A query costs one number for each group and each aggregate in \
it, as often as the aggregate is written; what HAVING or LIMIT leaves out costs as well, and the \
name that AS gives an aggregate is free. A reply tells what it cost as numbers; its rows and bytes \
are counted too. A refused query costs a call and nothing of the budget; one that fails while it \
runs costs its numbers. Rows that ORDER BY leaves equal come in the order of their columns. \
Fractions are told with {DIGITS} significant digits. A query is stopped after {MOST_SECONDS:g} \
seconds of work, or when it needs more than {MOST_MEGABYTES} MB."""


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
        },
    }
