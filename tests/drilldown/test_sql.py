"""SQL over the counts: what it answers, what it refuses, and that nothing gets out or wears out."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest

from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.session import DrillRules, DrillSession
from metric_tracker_rl.drilldown.sql import bounds, database, guard
from metric_tracker_rl.drilldown.sql.database import (
    MOST_BYTES,
    MOST_ROWS,
    Database,
    FailedQueryError,
)
from metric_tracker_rl.drilldown.sql.guard import Asked
from openenv_kit.environment import Reply
from openenv_kit.errors import ToolArgumentError

CONFIG = DrillConfig(5, "drill_sql", "ordering_app", 2)
EPISODE = build_episode(CONFIG)
PLENTY = {"numbers": 10**6, "rows": 10**6, "bytes": 10**9}
ALL = "platform, country, app_version, channel, cuisine"


def started() -> DrillSession:
    session = DrillSession()
    assert session.start("test", EPISODE, DrillRules()).status == "ready"
    return session


def ask(session: DrillSession, query: Any) -> Reply:
    return session.step({"analysis_method": "sql", "analysis_args": {"query": query}})


def rows(query: str) -> Any:
    return EPISODE.database.query(query, PLENTY)[0]["rows"]


def test_one_row_is_one_leaf_on_one_day() -> None:
    assert rows("SELECT count(*) FROM counts") == [[EPISODE.cube.leaves * 56]]
    first = [dim.names[0] for dim in EPISODE.domain.dims]
    second = EPISODE.domain.dims[4].names[1]
    leaf = " AND ".join(
        f"{name} = '{value}'" for name, value in zip(EPISODE.domain.dim_names, first, strict=True)
    )
    for number, where in ((0, leaf), (1, leaf.replace(first[4], second))):
        found = rows(
            f"SELECT date, sum(app_opens), sum(menu_opens), count(*) FROM counts WHERE {where} "
            "GROUP BY ALL"
        )
        counts = EPISODE.counts[number, :2].T.tolist()
        days = zip(EPISODE.dates, counts, strict=True)
        assert found == [[date, *both, 1] for date, both in days]


def test_sums_are_the_sums_of_the_counts() -> None:
    found = rows(
        "SELECT country, date, sum(orders_placed) FROM counts WHERE country IN ('us', 'uk', 'de') "
        "GROUP BY ALL ORDER BY ALL"
    )
    axis = EPISODE.domain.dim_names.index("country")
    places = EPISODE.cube.leaf_values[:, axis]
    right = [
        [name, date, int(EPISODE.counts[places == place, 3, day].sum())]
        for place, name in enumerate(EPISODE.domain.dims[axis].names[:3])
        for day, date in enumerate(EPISODE.dates)
    ]
    assert found == right


def test_values_come_as_json_has_them() -> None:
    [row] = rows(
        "SELECT DATE '2024-02-03', sum(app_opens), 2 / 3, 0.5, NULL, true, 1 / 0, ln(2) "
        "FROM counts WHERE country = 'nowhere'"
    )
    assert row == ["2024-02-03", None, 0.666666667, 0.5, None, True, None, 0.693147181]
    json.dumps(row, allow_nan=False)


COUNTRIES, DATES = 6, 56
COSTS = {
    "SELECT 1": 1,
    "SELECT 1, 2, 3": 3,
    "SELECT sum(app_opens) FROM counts": 1,
    "SELECT sum(app_opens) AS s, s / 2, s * s FROM counts": 1,
    "SELECT sum(app_opens), sum(app_opens) FROM counts": 2,
    "SELECT avg(app_opens) + median(menu_opens) / min(app_opens) FROM counts": 3,
    "SELECT country FROM counts GROUP BY country": COUNTRIES,
    "SELECT country, 1, 2 FROM counts GROUP BY country": 3 * COUNTRIES,
    "SELECT country, sum(app_opens) FROM counts GROUP BY ALL": COUNTRIES,
    "SELECT country, sum(app_opens) FROM counts GROUP BY 1 LIMIT 1": COUNTRIES,
    "SELECT country FROM counts GROUP BY 1 HAVING sum(app_opens) < 0": COUNTRIES,
    "SELECT country FROM counts GROUP BY 1 ORDER BY sum(app_opens) / sum(menu_opens)": 12,
    "SELECT country, sum(app_opens) AS s FROM counts GROUP BY 1 HAVING s > 1 ORDER BY s": COUNTRIES,
    "SELECT sum(app_opens) FILTER (WHERE country = 'us') FROM counts WHERE country = 'uk'": 1,
    "SELECT date, sum(app_opens) FROM counts WHERE country = 'us' GROUP BY ALL": DATES,
    "SELECT isodow(date) AS d, country, max(app_opens) FROM counts GROUP BY d, 2": 7 * COUNTRIES,
    "SELECT CASE WHEN country IN ('us', 'uk') THEN 1 END AS k, sum(app_opens) FROM counts "
    "GROUP BY k": 2,
    "SELECT sum(app_opens) FROM counts GROUP BY country, country": COUNTRIES,
    "SELECT sum(app_opens) FROM counts WHERE country = 'nowhere' GROUP BY platform": 0,
    "SELECT 2 FROM counts HAVING sum(app_opens) < 0": 1,
    "SELECT quantile_cont(app_opens, 0.9), count(DISTINCT date) FROM counts": 2,
}


@pytest.mark.parametrize("query", COSTS)
def test_a_query_costs_what_it_computes_shown_or_not(query: str) -> None:
    session = started()
    reply = ask(session, query)
    assert reply.status == "analyzed", reply.message
    assert reply.content["analysis_result"]["result"]["numbers"] == COSTS[query]
    assert reply.content["numbers_left"] == CONFIG.level.budget - COSTS[query]
    assert session.read == COSTS[query]


def test_the_sizes_of_groups_are_those_of_the_product() -> None:
    """Counted here by the dimensions, not by the database."""
    for axes in ((0, 1), (1, 4), (0, 2, 3), (2, 3, 4)):
        names = ", ".join(EPISODE.domain.dim_names[axis] for axis in axes)
        groups = 1
        for axis in axes:
            groups *= EPISODE.domain.shape[axis]
        reply = ask(
            started(),
            f"SELECT {names}, sum(app_opens), sum(menu_opens) FROM counts GROUP BY {names} LIMIT 1",
        )
        assert reply.content["analysis_result"]["result"]["numbers"] == 2 * groups


def test_what_is_too_much_is_refused_with_its_size_before_it_is_computed() -> None:
    session = started()
    for query, words in (
        ("SELECT country, date FROM counts LIMIT 5", "336,000 numbers: 168,000 groups, and 2"),
        (f"SELECT {ALL}, sum(app_opens) FROM counts GROUP BY ALL LIMIT 1", "3,000 numbers: 3,000"),
        (
            "SELECT date, country, sum(app_opens), sum(menu_opens), avg(app_opens), min(menu_opens)"
            " FROM counts GROUP BY ALL HAVING sum(app_opens) < 0",
            "1,680 numbers: 336 groups, and 5 aggregates",
        ),
        ("SELECT date, country, sum(app_opens) FROM counts GROUP BY ALL", "would have 336 rows"),
    ):
        refused = ask(session, query)
        assert refused.status == "error"
        assert words in refused.message
        assert refused.message.endswith("Nothing was read.")
        assert session.spent.total() == 0
    session.spent["numbers"] = CONFIG.level.budget - 5
    refused = ask(session, "SELECT country, sum(app_opens) FROM counts GROUP BY ALL")
    assert "6 numbers: 6 groups, and 1 aggregates" in refused.message
    assert "and 5 are left in all" in refused.message
    assert session.read == CONFIG.level.budget - 5


def test_rows_and_bytes_are_counted_and_told() -> None:
    session = started()
    limits = CONFIG.level.limits
    reply = ask(session, "SELECT country, sum(app_opens) AS opens FROM counts GROUP BY ALL")
    result = reply.content["analysis_result"]["result"]
    size = len(json.dumps([result["columns"], result["rows"]], separators=(",", ":")))
    assert result["row_count"] == 6
    assert reply.content["rows_left"] == limits["rows"] - 6
    assert reply.content["bytes_left"] == limits["bytes"] - size
    named = ask(session, f"SELECT 1 AS {'a' * 11_000}, 2 AS b")
    assert named.content["bytes_left"] < limits["bytes"] - size - 11_000  # paid like anything else


BY_DAY = "SELECT date, country, sum(app_opens) AS s FROM counts GROUP BY ALL"


@pytest.mark.parametrize(
    ("query", "words", "numbers"),
    [
        ("SELECT CAST(sum(app_opens) AS TINYINT) FROM counts", "out of range for the", 1),
        ("SELECT CAST(lower(max(country)) AS INTEGER) FROM counts", "Could not convert", 1),
        (f"{BY_DAY} HAVING s > 0", f"more than {MOST_ROWS} rows", 336),
        (
            f"SELECT country, sum(app_opens) AS s, if(s > 0, '{'x' * 9_000}', ''), "
            "max(date) FROM counts GROUP BY ALL",
            f"more than {MOST_BYTES:,} bytes",
            12,
        ),
    ],
)
def test_a_query_that_fails_while_it_runs_is_paid_for_and_tells_no_count(
    query: str, words: str, numbers: int
) -> None:
    """Else whether it fails would be an answer for nothing."""
    session = started()
    refused = ask(session, query)
    assert refused.status == "error"
    assert words in refused.message
    assert refused.message.endswith(f"The query ran, and costs its {numbers:,} numbers.")
    assert session.spent == {"numbers": numbers}
    total, last = int(EPISODE.counts[:, 0].sum()), EPISODE.domain.dims[1].names[-1]
    assert str(total) not in refused.message
    assert f"'{last}'" not in refused.message


def test_a_spent_budget_refuses_and_leaves_the_report() -> None:
    session = started()
    session.spent["numbers"] = CONFIG.level.budget - 12
    query = "SELECT country, sum(app_opens) FROM counts GROUP BY ALL"
    assert [ask(session, query).status for _ in range(3)] == ["analyzed", "analyzed", "error"]
    assert session.read == CONFIG.level.budget
    refused = ask(session, "SELECT 1")
    assert "0 are left in all" in refused.message
    report = [row.as_dict() for row in EPISODE.expected_rows]
    done = session.step({"analysis_method": "submit_report", "analysis_args": {"rows": report}})
    assert done.reward == 1.0


CHEATS = {
    "counts as they are": "SELECT app_opens FROM counts LIMIT 3",
    "rows chosen by their counts": "SELECT date FROM counts WHERE app_opens > 3 GROUP BY date",
    "groups of counts": "SELECT country FROM counts GROUP BY country, app_opens",
    "groups of counts by number": "SELECT app_opens FROM counts GROUP BY 1",
    "groups of ratios": "SELECT count(*) FROM counts GROUP BY menu_opens // app_opens",
    "an order by counts": "SELECT country FROM counts ORDER BY app_opens LIMIT 3",
    "an order by a pattern": "SELECT country FROM counts ORDER BY COLUMNS('app_opens') LIMIT 3",
    "an order by all columns": "SELECT country FROM counts ORDER BY * LIMIT 3",
    "two counts in one sum": "SELECT sum(app_opens + 100000 * menu_opens) FROM counts",
    "weeks in one sum": "SELECT sum(app_opens * 1000 ** (week(date) % 8)) FROM counts",
    "a filter by counts": "SELECT sum(app_opens) FILTER (WHERE menu_opens > 3) FROM counts",
    "a CASE by counts": "SELECT count(CASE WHEN app_opens > 3 THEN 1 END) FROM counts",
    "a sum in the order of counts": "SELECT sum(app_opens ORDER BY menu_opens) FROM counts",
    "a quantile by counts": "SELECT quantile_cont(app_opens, menu_opens) FROM counts",
    "a cast count": "SELECT sum(app_opens::DOUBLE) FROM counts",
    "a count through an alias": "SELECT app_opens AS a, sum(a) FROM counts GROUP BY ALL",
    "a row as a value": "SELECT max(counts) FROM counts",
    "a row by the alias of the table": "SELECT sum(z) AS z, z FROM counts AS z",
    "a row behind the table's own name": "SELECT 1 AS counts FROM counts GROUP BY counts",
    "renamed columns": "SELECT sum(country) FROM counts AS c (a, b, c, d, e, f, country)",
    "columns by number": "SELECT #7 FROM counts",
    "all columns": "SELECT * FROM counts LIMIT 1",
    "sums of all columns": "SELECT sum(COLUMNS(*)) FROM counts",
    "all but one column": "SELECT * EXCLUDE (date) FROM counts LIMIT 1",
    "numbers of rows": "SELECT rowid FROM counts LIMIT 1",
    "WITH": "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
    "an unused WITH": "WITH a AS (SELECT 1) SELECT sum(app_opens) FROM counts",
    "a subquery as a table": "SELECT max(s) FROM (SELECT sum(app_opens) AS s FROM counts)",
    "a scalar subquery": "SELECT (SELECT sum(app_opens) FROM counts)",
    "a subquery in WHERE": "SELECT 1 FROM counts WHERE date IN (SELECT max(date) FROM counts)",
    "EXISTS": "SELECT 1 WHERE EXISTS (SELECT 1 FROM counts)",
    "a subquery in LIMIT": "SELECT 1 LIMIT (SELECT sum(app_opens) FROM counts)",
    "a join": "SELECT count(*) FROM counts JOIN counts USING (date)",
    "two tables": "SELECT count(*) FROM counts, counts",
    "UNION": "SELECT 1 UNION ALL SELECT 2",
    "EXCEPT": "SELECT country FROM counts EXCEPT SELECT country FROM counts",
    "INTERSECT": "SELECT 1 INTERSECT SELECT 1",
    "a window": "SELECT sum(sum(app_opens)) OVER () FROM counts GROUP BY date",
    "a rank": "SELECT rank() OVER (ORDER BY sum(app_opens)) FROM counts GROUP BY date",
    "QUALIFY": "SELECT date FROM counts GROUP BY date QUALIFY count(*) OVER () > 1",
    "GROUPING SETS": "SELECT sum(app_opens) FROM counts GROUP BY GROUPING SETS ((country), ())",
    "CUBE": "SELECT sum(app_opens) FROM counts GROUP BY CUBE (country, platform)",
    "ROLLUP": "SELECT sum(app_opens) FROM counts GROUP BY ROLLUP (country)",
    "several groupings": "SELECT 1 FROM counts GROUP BY GROUPING SETS (country, platform)",
    "DISTINCT": "SELECT DISTINCT sum(app_opens) FROM counts GROUP BY date",
    "DISTINCT ON": "SELECT DISTINCT ON (country) country FROM counts",
    "VALUES": "VALUES (1), (2)",
    "a pivot": "PIVOT counts ON country USING sum(app_opens)",
    "a histogram": "SELECT histogram(app_opens) FROM counts",
    "a list of quantiles": "SELECT quantile_cont(app_opens, [0.1, 0.2]) FROM counts",
    "the largest few": "SELECT max(app_opens, 3) FROM counts",
    "a text of all": "SELECT string_agg(app_opens) FROM counts",
    "a struct": "SELECT {'a': sum(app_opens)} FROM counts",
    "where the largest is": "SELECT arg_max(date, app_opens) FROM counts",
    "the commonest": "SELECT mode(app_opens) FROM counts",
    "a spread over leaves": "SELECT stddev(app_opens) FROM counts",
    "a skewness over leaves": "SELECT skewness(app_opens) FROM counts",
    "a correlation": "SELECT corr(app_opens, menu_opens) FROM counts",
    "an entropy": "SELECT entropy(app_opens) FROM counts",
    "whether all are": "SELECT bool_and(app_opens > 3) FROM counts",
    "some value": "SELECT any_value(app_opens) FROM counts",
}


@pytest.mark.parametrize("name", CHEATS)
def test_nothing_computes_more_than_one_number_for_each_aggregate_and_group(name: str) -> None:
    session = started()
    reply = ask(session, CHEATS[name])
    assert reply.status == "error"
    assert "would" not in reply.message  # refused for what it is, not for its size
    assert "; allowed: " in reply.message or "Allowed: " in reply.message
    assert len(reply.message) < 600
    assert session.spent.total() == 0


ESCAPES = {
    "a file as a table": "SELECT * FROM '/etc/passwd'",
    "a CSV file": "SELECT * FROM read_csv('/etc/passwd')",
    "a text file": "SELECT * FROM read_text('/etc/passwd')",
    "a blob": "SELECT content FROM read_blob('/etc/hostname')",
    "a Parquet file": "SELECT * FROM parquet_scan('x.parquet')",
    "a JSON file": "SELECT * FROM read_json('x.json')",
    "a folder": "SELECT * FROM glob('/*')",
    "an address": "SELECT * FROM 'https://example.org/x.csv'",
    "a copy out": "COPY counts TO '/tmp/counts.csv'",
    "a copy in": "COPY counts FROM '/tmp/counts.csv'",
    "an export": "EXPORT DATABASE '/tmp/counts'",
    "another database": "ATTACH '/tmp/other.db' AS other",
    "an extension": "INSTALL httpfs",
    "a loaded extension": "LOAD json",
    "a new table": "CREATE TABLE more AS SELECT 1",
    "a new view": "CREATE VIEW more AS SELECT 1",
    "a macro": "CREATE MACRO f(x) AS x + 1",
    "an insert": "INSERT INTO counts SELECT * FROM counts",
    "an update": "UPDATE counts SET app_opens = 0",
    "a delete": "DELETE FROM counts",
    "a drop": "DROP TABLE counts",
    "an alteration": "ALTER TABLE counts ADD COLUMN x INTEGER",
    "a setting": "SET memory_limit = '100GB'",
    "a reset setting": "RESET lock_configuration",
    "a pragma": "PRAGMA enable_external_access",
    "a call": "CALL duckdb_settings()",
    "a transaction": "BEGIN TRANSACTION",
    "a checkpoint": "CHECKPOINT",
    "a prepared statement": "PREPARE p AS SELECT 1",
    "an analysis of a plan": "EXPLAIN ANALYZE SELECT 1",
    "two statements": "SELECT 1; DROP TABLE counts",
    "the settings": "SELECT * FROM duckdb_settings()",
    "the catalogue": "SELECT * FROM information_schema.tables",
    "the inner tables": "SELECT * FROM sqlite_master",
    "a schema": "SELECT * FROM main.counts",
    "one setting": "SELECT current_setting('memory_limit')",
    "the environment": "SELECT getenv('HOME')",
    "a name of the caller": "SELECT * FROM EPISODE",
    "a table by name": "SELECT * FROM query_table('counts')",
    "a query in a query": "SELECT * FROM query('SELECT 1')",
    "a description": "SUMMARIZE counts",
    "chance": "SELECT random()",
    "a sample": "SELECT count(*) FROM counts TABLESAMPLE 1%",
    "the clock": "SELECT now()",
    "the clock without a call": "SELECT current_timestamp",
    "the user": "SELECT user FROM counts",
    "the version": "SELECT version()",
    "a parameter": "SELECT $1",
    "a type of its own": "SELECT CAST(1 AS JSON)",
    "a function in a window": "SELECT list(app_opens) OVER () FROM counts",
    "a function in an order": "SELECT 1 FROM counts ORDER BY random()",
    "a function in a WITH": "WITH a AS (SELECT uuid() AS x) SELECT 1 FROM counts",
    "no text": 17,
    "half a character": "SELECT '\ud800'",
}
EXHAUSTIONS = {
    "a long string": "SELECT repeat('x', 1000000000)",
    "a string that grows": "SELECT 'x' || 'x'",
    "a padded string": "SELECT lpad('x', 1000000000, 'x')",
    "a list": "SELECT [1, 2]",
    "a list of all": "SELECT array_agg(app_opens) FROM counts",
    "the largest as a list": "SELECT max(app_opens, 999999) FROM counts",
    "a series": "SELECT count(*) FROM range(1000000000000)",
    "recursion": "WITH RECURSIVE a AS (SELECT 1 x UNION ALL SELECT x FROM a) SELECT * FROM a",
    "a long query": "SELECT " + "1, " * 6000 + "1",
    "a sum of thousands": "SELECT " + "1+" * 5000 + "1",
    "deep functions": "SELECT " + "abs(" * 300 + "1" + ")" * 300,
    "aliases that double": "SELECT app_opens AS a0, "
    + ", ".join(f"a{n - 1} + a{n - 1} AS a{n}" for n in range(1, 40))
    + " FROM counts",
    "columns that double": "WITH a0 AS (FROM counts), "
    + ", ".join(f"a{n} AS (SELECT *, * FROM a{n - 1})" for n in range(1, 40))
    + " SELECT 1 FROM a39",
    "everything": "FROM counts",
    "pairs of rows": "SELECT count(*) FROM counts a, counts b",
    "every grouping": f"SELECT count(*) FROM counts GROUP BY CUBE ({ALL}, date)",
}
LONG = (
    "SELECT "
    + ", ".join(f"sum(app_opens) FILTER (dayname(date + {n}) LIKE '%o%a%y%')" for n in range(150))
    + " FROM counts"
)
LARGE = (
    "SELECT "
    + ", ".join(f"median(app_opens) FILTER (day(date) <> {n})" for n in range(200))
    + " FROM counts"
)


def test_there_are_more_than_a_hundred_attempts() -> None:
    assert len(ESCAPES) + len(EXHAUSTIONS) + len(CHEATS) >= 110


@pytest.mark.parametrize("name", [*ESCAPES, *EXHAUSTIONS])
def test_every_attempt_is_refused_and_costs_nothing(name: str) -> None:
    session = started()
    reply = ask(session, {**ESCAPES, **EXHAUSTIONS}[name])
    assert reply.status == "error"
    assert len(reply.message) < 900
    assert "would" not in reply.message  # refused for what it is, not for its size
    assert session.spent.total() == 0
    assert reply.content["calls_left"] == 199


WALLED = (
    *("a file as a table", "a CSV file", "a text file", "a blob", "a Parquet file", "a JSON file"),
    *("a folder", "an address", "a copy out", "a copy in", "an export", "another database"),
    *("an extension", "a new table", "a new view", "a macro", "an insert", "an update"),
    *("a delete", "a drop", "an alteration", "a setting", "a reset setting", "a pragma"),
    *("a name of the caller", "a transaction"),
)


@pytest.mark.parametrize("name", WALLED)
def test_the_locked_database_itself_lets_nothing_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second wall: without the guard no file, no setting and no write is reached either."""
    nothing = Asked({"group_expressions": [], "aggregate_handling": ""}, 1)
    monkeypatch.setattr(database, "read_query", lambda *_: nothing)
    with pytest.raises(ToolArgumentError):
        EPISODE.database.query(str(ESCAPES[name]), PLENTY)
    monkeypatch.undo()
    assert rows("SELECT count(*) FROM counts") == [[EPISODE.cube.leaves * 56]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "bound", "most", "words"),
    [
        (LONG, "MOST_SECONDS", 0.1, "took more than 0.1 seconds of work and was stopped"),
        (LARGE, "MOST_GROWTH", 64 << 20, "took too much memory and was stopped"),
    ],
)
def test_a_query_that_takes_too_much_is_stopped(
    query: str, bound: str, most: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, bound, most)
    with pytest.raises(FailedQueryError, match=words):
        rows(query)


def test_errors_teach() -> None:
    session = started()
    for query, words in (
        ("SELECT contry FROM counts", "Did you mean 'country'? Allowed: platform, country"),
        ("SELECT 1 FROM count", "no table 'count'. Did you mean 'counts'?"),
        ("SELECT lenght('x')", "Did you mean 'length'?"),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT 1; SELECT 2", "2 statements; allowed: one a call"),
        ("SELECT app_opens FROM counts", "app_opens outside an aggregate"),
        (
            "SELECT 1 UNION SELECT 2",
            "offer UNION, EXCEPT or INTERSECT; allowed: one SELECT",
        ),
        ("DESCRIBE counts", "DESCRIBE, SHOW or SUMMARIZE"),
        ("DROP TABLE counts", "allowed: one SELECT"),
        ("SELECT sum(app_opens), date FROM counts", "must appear in the GROUP BY"),
    ):
        reply = ask(session, query)
        assert reply.status == "error"
        assert words in reply.message
        assert "Nothing was read" in reply.message
    wrong = session.step({"analysis_method": "sql", "analysis_args": {"querry": "SELECT 1"}})
    assert "did you mean 'query'" in wrong.message
    gone = session.step({"analysis_method": "slice", "analysis_args": {}})
    assert "Allowed: overview, sql, change_log" in gone.message


@pytest.mark.parametrize("end", ["", "ORDER BY size", "ORDER BY size DESC LIMIT 9;  -- the most"])
def test_rows_that_an_order_leaves_equal_come_in_the_order_of_their_columns(end: str) -> None:
    query = f"SELECT 1 AS size, platform, country, channel FROM counts GROUP BY ALL {end}"
    found = rows(query)
    names = [
        next(dim.names for dim in EPISODE.domain.dims if dim.name == name)
        for name in ("platform", "country", "channel")
    ]
    places = [[of.index(value) for of, value in zip(names, row[1:], strict=True)] for row in found]
    assert len(places) > 8
    assert places == sorted(places)


def test_what_analysts_write_is_allowed() -> None:
    for query in (
        "SELECT date, sum(app_opens) FROM counts WHERE platform = 'ios' GROUP BY 1 ORDER BY date",
        "SELECT country, sum(app_opens) AS app_opens FROM counts GROUP BY ALL ORDER BY app_opens",
        "SELECT date, date - 7, isodow(date), date_trunc('week', date) FROM counts GROUP BY ALL",
        "SELECT CASE WHEN platform IN ('ios') AND NOT false THEN 1 END AS k, sum(menu_opens) "
        "FROM counts GROUP BY k HAVING k IS NOT NULL",
        "SELECT country, sum(menu_opens) FILTER (isodow(date) = 1) / sum(menu_opens) AS share "
        "FROM counts GROUP BY ALL HAVING share >= 0 ORDER BY abs(share) DESC LIMIT 3",
        "SELECT quantile(app_opens, 0.5), mean(app_opens) FROM counts",
        "SELECT count(DISTINCT date) FILTER (WHERE country = 'us') FROM counts",
        "SELECT counts.platform, count(counts.app_opens) FROM counts GROUP BY counts.platform",
        'SELECT "country", SUM("App_Opens") FROM Counts GROUP BY ALL ORDER BY ALL DESC',
        "FROM counts SELECT max(date) WHERE date BETWEEN '2023-01-01' AND '2030-01-01'",
        "SELECT coalesce(NULL, 1), 7 // 2, 2 ** 3, -1::DOUBLE",
        "SELECT platform LIKE 'i%' OR platform IS NULL, avg(app_opens) FROM counts GROUP BY 1;",
        "SELECT date_diff('day', DATE '2023-01-01', date) // 7 AS w, avg(app_opens) FROM counts "
        "GROUP BY w ORDER BY avg(app_opens) -- the smallest first",
    ):
        assert rows(query), query


def test_every_offered_function_is_there_and_always_says_the_same() -> None:
    known = dict(
        duckdb.sql(
            "SELECT function_name, max(stability) FROM duckdb_functions() GROUP BY 1"
        ).fetchall()
    )
    spelled = {"if", "ifnull", "nullif", "coalesce", "~~*", "!~~*"}  # by the parser
    assert guard.FUNCTIONS - known.keys() <= spelled
    assert {name for name in guard.FUNCTIONS if known.get(name) == "VOLATILE"} == set()


@pytest.mark.slow
def test_the_same_query_has_the_same_bytes() -> None:
    queries = [
        "SELECT country, channel, sum(menu_opens) / sum(app_opens) FROM counts GROUP BY ALL",
        "SELECT median(app_opens), avg(app_opens), max(app_opens) FROM counts GROUP BY date",
        "SELECT date, sum(app_opens) FROM counts GROUP BY date LIMIT 20",
        "SELECT quantile_cont(app_opens, 0.3), min(date) FROM counts GROUP BY country",
    ]
    first = [rows(query) for query in queries]
    for _ in range(2):
        again = Database(EPISODE.domain, EPISODE.dates, EPISODE.counts)
        assert [again.query(query, PLENTY)[0]["rows"] for query in queries] == first


def test_sessions_of_an_episode_share_one_database_from_any_thread() -> None:
    query = "SELECT country, sum(app_opens) FROM counts GROUP BY ALL ORDER BY ALL"
    shared = Database(EPISODE.domain, EPISODE.dates, EPISODE.counts)
    barrier = threading.Barrier(8)

    def one(_: int) -> Any:
        barrier.wait()
        return shared.query(query, PLENTY)[0]["rows"], id(shared._connection)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(8)))
    assert [answer for answer, _ in found] == [rows(query)] * 8
    assert len({connection for _, connection in found}) == 1


@pytest.mark.slow
def test_a_database_is_closed_with_its_episode() -> None:
    episode = Episode(CONFIG, EPISODE.dates, EPISODE.counts, EPISODE.log, EPISODE.expected_rows)
    assert episode.database.query("SELECT 1", PLENTY)[0]["rows"] == [[1]]
    connection = episode.database._connection
    assert connection is not None
    del episode
    gc.collect()
    with pytest.raises(duckdb.ConnectionException):
        connection.execute("SELECT 1")


@pytest.mark.slow
def test_duckdb_is_imported_for_the_first_query_and_not_before() -> None:
    code = (
        "import sys\n"
        "from metric_tracker_rl.drilldown.session import DrillSession\n"
        "s = DrillSession()\n"
        "s.reset(difficulty='drill_sql', causes=0)\n"
        "s.step({'analysis_method': 'overview'})\n"
        "print('duckdb' in sys.modules)\n"
        "s.step({'analysis_method': 'sql', 'analysis_args': {'query': 'SELECT 1'}})\n"
        "print('duckdb' in sys.modules)\n"
    )
    root = Path(__file__).parent.parent.parent
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["False", "True"]
