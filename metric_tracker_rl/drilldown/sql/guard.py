"""Which queries are allowed: one flat SELECT over `counts`, of named parts and named functions.

DuckDB's own parser says what a query is; whatever is not listed here is refused. So no file, no
setting, no other table and no source of chance or of the machine's state can be named, and no
value can grow: strings are not built and lists do not exist, because DuckDB's limit of memory does
not see them.

A column of counts stands inside an aggregate, alone, and nowhere else. Then a query tells one
number for each aggregate and group, and that is what it costs: no sum can pack several numbers
into one, and no row can be chosen by its counts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from openenv_kit.errors import ToolArgumentError, echo, nearest

TABLE = "counts"
MOST_CHARACTERS = 12_000
"""Longest query."""
MOST_DEPTH = 400
"""Deepest nesting of a parsed query."""
MOST_COLUMNS = 2_000
"""Most columns that an expression names with every alias of its SELECT written out. It bounds the
planning of a query, which can grow without bound and which DuckDB cannot be stopped in."""


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
    "avg count count_star max mean median min quantile quantile_cont quantile_disc sum"
)
MOST_ARGUMENTS = {"max": 1, "min": 1}
"""Aggregates that would make a list if they were given one argument more."""
FUNCTIONS = OPERATORS | NUMBERS | DATES | TEXTS | AGGREGATES

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
    """SELECT_NODE BASE_TABLE EMPTY
    ORDER_MODIFIER LIMIT_MODIFIER ORDER_DEFAULT ASCENDING DESCENDING
    COLUMN_REF VALUE_CONSTANT FUNCTION OPERATOR_CAST CASE_EXPR
    CONJUNCTION_AND CONJUNCTION_OR COMPARE_BETWEEN COMPARE_NOT_BETWEEN COMPARE_EQUAL
    COMPARE_NOTEQUAL COMPARE_LESSTHAN COMPARE_GREATERTHAN COMPARE_LESSTHANOREQUALTO
    COMPARE_GREATERTHANOREQUALTO COMPARE_IN COMPARE_NOT_IN COMPARE_DISTINCT_FROM
    COMPARE_NOT_DISTINCT_FROM
    OPERATOR_NOT OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL OPERATOR_COALESCE OPERATOR_NULLIF"""
)
"""Parts of a query. Casts to the types above are allowed beside them."""
REFUSED = {
    "CTE_NODE": "WITH",
    "DISTINCT_MODIFIER": "SELECT DISTINCT",
    "EXPRESSION_LIST": "VALUES",
    "GROUPING_FUNCTION": "grouping",
    "LAMBDA": "a lambda",
    "PIVOT": "PIVOT or UNPIVOT",
    "POSITIONAL_REFERENCE": "a column by its number",
    "RECURSIVE_CTE_NODE": "WITH RECURSIVE",
    "SET_OPERATION_NODE": "UNION, EXCEPT or INTERSECT",
    "SHOW_REF": "DESCRIBE, SHOW or SUMMARIZE",
    "STAR": "a star",
    "TABLE_FUNCTION": "a table function",
    "VALUE_PARAMETER": "a parameter",
}
OFFERED = (
    f"one SELECT FROM {TABLE} with WHERE, GROUP BY, aggregates with FILTER, HAVING, ORDER BY and "
    "LIMIT"
)


@dataclass(frozen=True)
class Asked:
    """A query that is allowed.

    Attributes:
        node: its SELECT, as DuckDB's parser tells it.
        aggregates: how many there are in it, each as often as it is written.
    """

    node: dict[str, Any]
    aggregates: int

    @property
    def whole(self) -> bool:
        """Whether each of its groups is a row of the reply."""
        limits = [each for each in self.node["modifiers"] if each["type"] == "LIMIT_MODIFIER"]
        return self.node["having"] is None and not limits


def read_query(parsed: str, attributes: Collection[str], stages: Collection[str]) -> Asked:
    """What a query asks, where it is allowed.

    Args:
        parsed: what DuckDB's `json_serialize_sql` says of it.
        attributes: columns that say whose, and of which day, the counts of a row are.
        stages: columns of counts.

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
    node = told["statements"][0]["node"]
    parts = list(_parts(node))
    orders = {id(order["expression"]) for order in _orders(node)}
    for part in parts:
        if id(part) in orders and part.get("columns") and part["expr"] is None:
            continue  # ORDER BY ALL
        _require_known(part)
    _require_flat(node, parts)
    if _columns(node) > MOST_COLUMNS:
        raise _refused("aliases that build on one another so often", "an expression for each")
    _require_columns(node, parts, attributes, stages)
    return Asked(node, sum(_aggregates(part) for part in parts))


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


def _orders(select: dict[str, Any]) -> list[dict[str, Any]]:
    """What its reply is ordered by."""
    return [order for each in select.get("modifiers", ()) for order in each.get("orders", ())]


def _columns(select: dict[str, Any]) -> int:
    """Most columns that an expression of a SELECT names, with its aliases written out."""
    sizes: dict[str, int] = {}
    for item in select["select_list"]:
        if alias := item["alias"].lower():
            sizes[alias] = max(_named(item, sizes), 1)
    others = (_named(value, sizes) for name, value in select.items() if name != "select_list")
    return max([*sizes.values(), *others], default=0)


def _named(tree: Any, sizes: dict[str, int]) -> int:
    if isinstance(tree, list):
        return sum(_named(each, sizes) for each in tree)
    if not isinstance(tree, dict):
        return 0
    if tree.get("type") == "COLUMN_REF":
        return sizes.get(tree["column_names"][-1].lower(), 1)
    return sum(_named(each, sizes) for each in tree.values())


def _aggregates(part: dict[str, Any]) -> bool:
    return str(part.get("function_name", "")).lower() in AGGREGATES


def _alone(parts: Iterable[dict[str, Any]]) -> set[int]:
    """Identities of what aggregates are given first."""
    return {id(part["children"][0]) for part in parts if _aggregates(part) and part["children"]}


def _require_known(part: dict[str, Any]) -> None:
    kind = part.get("type")
    if part.get("class") == "WINDOW":
        raise _refused("a window", OFFERED)
    if part.get("class") == "SUBQUERY" or kind == "SUBQUERY":
        raise _refused("a subquery", OFFERED)
    if kind == "JOIN":
        raise _refused("a join, or a second table", OFFERED)
    if "id" in part and "type_info" in part:
        kind = part["id"]
        if kind not in TYPES:
            raise _refused(f"type {kind}", "types of numbers, dates and text")
    elif isinstance(kind, str) and kind not in NODES | TYPES:
        raise _refused(REFUSED.get(kind, kind.lower().replace("_", " ")), OFFERED)
    if kind == "BASE_TABLE":
        table, elsewhere = part["table_name"], part["schema_name"] or part["catalog_name"]
        if elsewhere or table.lower() != TABLE:
            raise _unknown("table", f"{elsewhere}.{table}" if elsewhere else table, {TABLE})
        if part["alias"] or part["column_name_alias"]:
            raise _refused("other names of the table or its columns", f"FROM {TABLE}")
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


def _require_flat(node: dict[str, Any], parts: list[dict[str, Any]]) -> None:
    """Nothing, where a query is one SELECT with at most one set of groups."""
    if any(part.get("cte_map", {}).get("map") for part in parts):
        raise _refused("WITH", OFFERED)
    if node.get("qualify") is not None:
        raise _refused("QUALIFY", "HAVING")
    if len(node["group_sets"]) > 1:
        raise _refused("GROUPING SETS, CUBE or ROLLUP", "GROUP BY")


def _require_columns(
    node: dict[str, Any],
    parts: list[dict[str, Any]],
    attributes: Collection[str],
    stages: Collection[str],
) -> None:
    """Nothing, where counts stand alone inside aggregates, and every other column is known.

    Names are compared as SQL does, without regard to case. The name of the table is no column,
    because it would be a whole row. What the reply is ordered by is an alias before it is a column.
    """
    plain, counted = ({name.lower() for name in names} for names in (attributes, stages))
    aliases = {item["alias"].lower() for item in node["select_list"]} - {"", TABLE} - CALLED
    alone = _alone(parts) | {
        id(order["expression"])
        for order in _orders(node)
        if order["expression"].get("column_names", [""])[-1].lower() in aliases
    }
    for part in parts:
        if part.get("type") != "COLUMN_REF":
            continue
        *of, name = (each.lower() for each in part["column_names"])
        if of not in ([], [TABLE]):
            raise _unknown("column", ".".join(part["column_names"]), [*attributes, *stages])
        if name in counted and id(part) not in alone:
            raise _refused(
                f"{name} outside an aggregate, or with more beside it there",
                f"a column of counts alone in sum, avg, median, min, max, quantile or count, as in "
                f"sum({name}), and arithmetic on what they give",
            )
        if name not in plain | counted | aliases:
            raise _unknown("column", part["column_names"][-1], [*attributes, *stages])


def _refused(given: str, offered: str) -> ToolArgumentError:
    return ToolArgumentError(f"sql does not offer {given}; allowed: {offered}. Nothing was read.")


def _too_deep() -> ToolArgumentError:
    return _refused("so deep a nesting", "about a hundred levels")


def _unknown(kind: str, given: str, allowed: Collection[str]) -> ToolArgumentError:
    guess = nearest(given, sorted(allowed))
    hint = f" Did you mean {guess!r}?" if guess else ""
    some = (
        "arithmetic, LIKE and the functions of numbers, dates and aggregates that the overview "
        "lists"
        if kind == "function"
        else ", ".join(allowed)
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
