"""Which queries are allowed: one SELECT over `counts`, of named parts and named functions only.

DuckDB's own parser says what a query is; whatever is not listed here is refused. So no file, no
setting, no other table and no source of chance or of the machine's state can be named, and no
value can grow: strings are not built and lists do not exist, because DuckDB's limit of memory does
not see them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from openenv_kit.errors import ToolArgumentError, echo, nearest

TABLE = "counts"
MOST_CHARACTERS = 12_000
"""Longest query."""
MOST_DEPTH = 400
"""Deepest nesting of a parsed query."""
MOST_TABLES = 64
"""Most tables that a query reads with every WITH name written out. This and the next two bound the
planning of a query, which can grow without bound and which DuckDB cannot be stopped in."""
MOST_COLUMNS = 2_000
"""Most columns that an expression names with every alias of its SELECT written out."""
MOST_STARS = 8


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
MOST_ARGUMENTS = {"max": 1, "min": 1, "arg_max": 2, "arg_min": 2, "max_by": 2, "min_by": 2}
"""Aggregates that would make a list if they were given one argument more."""
FUNCTIONS = OPERATORS | NUMBERS | DATES | TEXTS | AGGREGATES | WINDOWS

CALLED = _words(
    """current_catalog current_date current_role current_schema current_time current_timestamp
    current_user localtime localtimestamp session_user user"""
)
"""Columns that are function calls where a table has none of that name."""

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
    if (tables := _tables(told["statements"], {})) > MOST_TABLES:
        given = f"a query that reads {tables:,} tables with every WITH name written out"
        raise _refused(given, f"at most {MOST_TABLES}")
    if sum(part.get("type") == "STAR" for part in parts) > MOST_STARS:
        raise _refused("so many stars", f"at most {MOST_STARS}")
    if any(_columns(part) > MOST_COLUMNS for part in parts if "select_list" in part):
        raise _refused("aliases that build on one another so often", "a subquery for each step")


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parsed query."""
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise _too_deep()
        yield from (each for each in level if isinstance(each, dict))
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]


def _tables(tree: Any, sizes: Mapping[str, int]) -> int:
    """How many tables a part of a query reads, with every WITH name written out."""
    if isinstance(tree, list):
        return sum(_tables(each, sizes) for each in tree)
    if not isinstance(tree, dict):
        return 0
    for entry in _ctes(tree):
        sizes = {**sizes, entry["key"].lower(): _tables(entry["value"], sizes)}
    if tree.get("type") == "BASE_TABLE":
        return sizes.get(tree["table_name"].lower(), 1)
    return sum(_tables(each, sizes) for name, each in tree.items() if name != "cte_map")


def _columns(select: dict[str, Any]) -> int:
    """Most columns that an expression of a SELECT names, with its aliases written out."""
    sizes: dict[str, int] = {}
    for item in select["select_list"]:
        if alias := item["alias"].lower():
            sizes[alias] = max(_named(item, sizes), 1)
    others = (_named(value, sizes) for name, value in select.items() if name != "select_list")
    return max([*sizes.values(), *others], default=0)


def _named(tree: Any, sizes: Mapping[str, int]) -> int:
    if isinstance(tree, list):
        return sum(_named(each, sizes) for each in tree)
    if not isinstance(tree, dict):
        return 0
    if tree.get("type") == "COLUMN_REF":
        return sizes.get(tree["column_names"][-1].lower(), 1)
    return sum(_named(each, sizes) for each in tree.values())


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
    if kind == "COLUMN_REF" and part["column_names"][-1].lower() in CALLED:
        raise _unknown("column", part["column_names"][-1], FUNCTIONS)
    if part.get("sample") is not None:
        raise _refused("a sample", "all rows, so that the same query has the same reply")
    if part.get("at_clause") is not None:
        raise _refused("AT", f"{TABLE} as it is")
    if "function_name" in part:
        name = part["function_name"].lower()
        if name not in FUNCTIONS:
            raise _unknown("function", name, FUNCTIONS)
        if len(part["children"]) > MOST_ARGUMENTS.get(name, len(part["children"])):
            raise _refused(f"lists from {name}", f"{name} without a number of rows")


def _refused(given: str, offered: str) -> ToolArgumentError:
    return ToolArgumentError(f"sql does not offer {given}; allowed: {offered}. Nothing was read.")


def _too_deep() -> ToolArgumentError:
    return _refused("so deep a nesting", "about a hundred levels")


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
    if "depth limit" in str(told.get("error_message")):
        return _too_deep()
    reason = str(told.get("error_message", "")).split("\n", 1)[0][:200]
    return ToolArgumentError(f"sql cannot read the query: {reason}. Nothing was read.")
