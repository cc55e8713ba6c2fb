"""Which queries are allowed: one SELECT over `counts`, of named parts and named functions only.

DuckDB's own parser says what a query is; whatever is not listed here is refused. So no file, no
setting, no other table and no source of chance or of the machine's state can be named, and no
value can grow: strings are not built and lists do not exist, because DuckDB's limit of memory does
not see them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from openenv_kit.errors import ToolArgumentError, echo, nearest

TABLE = "counts"
MOST_CHARACTERS = 12_000
"""Longest query."""
MOST_DEPTH = 150
"""Deepest nesting of a query."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPERATORS = _words("+ - * / // % ** ^ ~~ !~~ ~~* !~~*")
NUMBERS = _words(
    """abs cbrt ceil ceiling exp floor greatest if ifnull isfinite isinf isnan least ln log log10
    log2 mod nullif pi pow power round sign sqrt trunc"""
)
DATES = _words(
    """date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day
    dayname dayofmonth dayofweek dayofyear isodow month quarter to_days to_weeks week weekday
    weekofyear year"""
)
TEXTS = _words("contains left length lower prefix right starts_with substr substring upper")
AGGREGATES = _words(
    """any_value arg_max arg_min avg bool_and bool_or corr count count_if count_star countif
    covar_pop covar_samp first grouping kurtosis last mad max max_by mean median min min_by mode
    quantile quantile_cont quantile_disc regr_count regr_intercept regr_r2 regr_slope sem skewness
    stddev stddev_pop stddev_samp sum var_pop var_samp variance"""
)
WINDOWS = _words(
    """cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank
    row_number"""
)
FUNCTIONS = OPERATORS | NUMBERS | DATES | TEXTS | AGGREGATES | WINDOWS

TYPES = _words(
    """BIGINT BOOLEAN DATE DECIMAL DOUBLE FLOAT HUGEINT INTEGER INTERVAL NULL SMALLINT TIMESTAMP
    TINYINT UBIGINT UINTEGER USMALLINT UTINYINT VARCHAR DECIMAL_TYPE_INFO INTEGER_LITERAL"""
)
NODES = _words(
    """SELECT_NODE SET_OPERATION_NODE CTE_NODE
    BASE_TABLE JOIN SUBQUERY EMPTY EXPRESSION_LIST
    ORDER_MODIFIER LIMIT_MODIFIER DISTINCT_MODIFIER ORDER_DEFAULT ASCENDING DESCENDING
    COLUMN_REF VALUE_CONSTANT FUNCTION OPERATOR_CAST CASE_EXPR STAR POSITIONAL_REFERENCE
    CONJUNCTION_AND CONJUNCTION_OR COMPARE_BETWEEN COMPARE_NOT_BETWEEN COMPARE_EQUAL
    COMPARE_NOTEQUAL COMPARE_LESSTHAN COMPARE_GREATERTHAN COMPARE_LESSTHANOREQUALTO
    COMPARE_GREATERTHANOREQUALTO COMPARE_IN COMPARE_NOT_IN COMPARE_DISTINCT_FROM
    COMPARE_NOT_DISTINCT_FROM
    OPERATOR_NOT OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL OPERATOR_COALESCE OPERATOR_NULLIF
    GROUPING_FUNCTION"""
)
"""Parts of a query. Windows and casts to the types above are allowed beside them."""
REFUSED = {
    "TABLE_FUNCTION": "a table function",
    "RECURSIVE_CTE_NODE": "WITH RECURSIVE",
    "SHOW_REF": "DESCRIBE, SHOW or SUMMARIZE",
    "PIVOT": "PIVOT or UNPIVOT",
    "LAMBDA": "a lambda",
    "VALUE_PARAMETER": "a parameter",
}


def require_allowed(parsed: str) -> None:
    """Nothing, where a query is allowed.

    Args:
        parsed: what DuckDB's `json_serialize_sql` says of it.

    Raises:
        ToolArgumentError: names what is not offered, and what is.
    """
    try:
        told = json.loads(parsed)
    except RecursionError:
        raise _too_deep() from None
    if told["error"]:
        raise _unreadable(told)
    if len(told["statements"]) != 1:
        raise _refused(f"{len(told['statements'])} statements", "one a call")
    parts = list(_parts(told["statements"]))
    named = {entry["key"].lower() for part in parts for entry in _ctes(part)}
    for part in parts:
        _require_known(part, named)


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parsed query."""
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > 4 * MOST_DEPTH:  # an object, the list in it and a field between two parts
            raise _too_deep()
        yield from (each for each in level if isinstance(each, dict))
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]


def _ctes(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Entries of its WITH clause."""
    found = part.get("cte_map")
    return found["map"] if isinstance(found, dict) else []


def _require_known(part: dict[str, Any], named: set[str]) -> None:
    kind = part.get("type")
    if part.get("class") == "WINDOW":
        kind = "FUNCTION"
    if "id" in part and "type_info" in part:
        kind = part["id"]
        if kind not in TYPES:
            raise _refused(f"type {kind}", "types of numbers, dates and text")
    elif isinstance(kind, str) and kind not in NODES | TYPES:
        offered = f"SELECT from {TABLE} with joins, subqueries, WITH and windows"
        raise _refused(REFUSED.get(kind, kind.lower().replace("_", " ")), offered)
    if kind == "BASE_TABLE":
        table = part["table_name"]
        elsewhere = part["schema_name"] or part["catalog_name"]
        if elsewhere or table.lower() not in {TABLE, *named}:
            raise _unknown("table", f"{elsewhere}.{table}" if elsewhere else table, {TABLE, *named})
    if part.get("sample") is not None:
        raise _refused("a sample", "all rows, so that the same query has the same reply")
    if part.get("at_clause") is not None:
        raise _refused("AT", f"{TABLE} as it is")
    if "function_name" in part and part["function_name"].lower() not in FUNCTIONS:
        raise _unknown("function", part["function_name"], FUNCTIONS)


def _refused(given: str, offered: str) -> ToolArgumentError:
    return ToolArgumentError(f"sql does not offer {given}; allowed: {offered}. Nothing was read.")


def _too_deep() -> ToolArgumentError:
    return _refused("so deep a nesting", f"about {MOST_DEPTH} levels")


def _unknown(kind: str, given: str, allowed: set[str] | frozenset[str]) -> ToolArgumentError:
    guess = nearest(given, sorted(allowed))
    hint = f" Did you mean {guess!r}?" if guess else ""
    some = (
        ", ".join(sorted(allowed))
        if kind == "table"
        else "arithmetic, LIKE and the functions of numbers, dates, aggregates and windows that "
        "the overview lists"
    )
    return ToolArgumentError(
        f"sql has no {kind} {echo(given)}.{hint} Allowed: {some}. Nothing was read."
    )


def _unreadable(told: dict[str, Any]) -> ToolArgumentError:
    if told.get("error_type") == "not implemented":
        return _refused("this statement", "one SELECT")
    reason = str(told.get("error_message", "")).split("\n", 1)[0][:200]
    return ToolArgumentError(f"sql cannot read the query: {reason}. Nothing was read.")
