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
from metric_tracker_rl.drilldown.sql import database, guard
from metric_tracker_rl.drilldown.sql.database import MOST_BYTES, MOST_ROWS, Database
from openenv_kit.environment import Reply
from openenv_kit.errors import ToolArgumentError

CONFIG = DrillConfig(5, "drill_sql", "ordering_app", 2)
EPISODE = build_episode(CONFIG)
PLENTY = {"rows": 10**6, "bytes": 10**9}
ALL = "platform, country, app_version, channel, cuisine"
OTHER_COLUMNS = "date, app_opens, menu_opens, product_added_to_cart, orders_placed"


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
    reply = EPISODE.database.query("FROM counts LIMIT 60", PLENTY)[0]
    assert reply["columns"] == [*EPISODE.domain.dim_names, "date", *EPISODE.domain.stages]
    names = [dim.names[0] for dim in EPISODE.domain.dims]
    second = [*names[:4], EPISODE.domain.dims[4].names[1]]
    assert [row[:6] for row in reply["rows"][54:58]] == [
        *([*names, date] for date in EPISODE.dates[54:]),
        *([*second, date] for date in EPISODE.dates[:2]),
    ]
    counts = EPISODE.counts[:2].transpose(0, 2, 1).reshape(-1, 5)[:60]
    assert [row[6:] for row in reply["rows"]] == counts.tolist()


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


def test_rows_and_bytes_are_counted_and_told() -> None:
    session = started()
    limits = CONFIG.level.limits
    reply = ask(session, "SELECT country, sum(app_opens) AS opens FROM counts GROUP BY ALL")
    result = reply.content["analysis_result"]["result"]
    size = len(json.dumps([result["columns"], result["rows"]], separators=(",", ":")))
    assert result["row_count"] == 6
    assert reply.content["rows_left"] == limits["rows"] - 6
    assert reply.content["bytes_left"] == limits["bytes"] - size
    for query, words in (
        (f"FROM counts LIMIT {MOST_ROWS + 1}", f"more than {MOST_ROWS} rows"),
        (f"SELECT *, * FROM counts LIMIT {MOST_ROWS}", f"allowed: {MOST_BYTES:,} in one reply"),
        (f"SELECT 1 AS {'a' * 11_000}, 2 AS b", "11,"),
    ):
        refused = ask(session, query)
        if "AS b" in query:  # a long name is paid for like anything else
            assert refused.content["bytes_left"] < limits["bytes"] - size - 11_000
            continue
        assert refused.status == "error"
        assert words in refused.message
        assert refused.content["rows_left"] == limits["rows"] - 6


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT CAST(sum(app_opens) AS TINYINT) FROM counts", "out of range for the destination"),
        ("SELECT CAST(lower(max(country)) AS INTEGER) FROM counts", "Could not convert string"),
        (f"SELECT *, * FROM counts LIMIT {MOST_ROWS}", f"more than {MOST_BYTES:,} bytes"),
    ],
)
def test_what_a_query_counted_is_not_told_where_it_has_no_reply(query: str, words: str) -> None:
    refused = ask(started(), query)
    assert refused.status == "error"
    assert words in refused.message
    total, last = int(EPISODE.counts[:, 0].sum()), EPISODE.domain.dims[1].names[-1]
    assert str(total) not in refused.message
    assert f"'{last}'" not in refused.message


def test_a_spent_budget_refuses_and_leaves_the_report() -> None:
    session = started()
    while ask(session, "SELECT app_opens FROM counts LIMIT 100").status == "analyzed":
        assert session.read <= CONFIG.level.budget
    assert session.read == CONFIG.level.budget
    refused = ask(session, "SELECT 1")
    assert "0 are left in all" in refused.message
    report = [row.as_dict() for row in EPISODE.expected_rows]
    done = session.step({"analysis_method": "submit_report", "analysis_args": {"rows": report}})
    assert done.reward == 1.0


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
    "names that double": "WITH a0 AS (FROM counts), "
    + ", ".join(f"a{n} AS (SELECT 1 FROM a{n - 1} x, a{n - 1} y)" for n in range(1, 40))
    + " SELECT * FROM a39",
    "aliases that double": "SELECT app_opens AS a0, "
    + ", ".join(f"a{n - 1} + a{n - 1} AS a{n}" for n in range(1, 40))
    + " FROM counts",
    "columns that double": "WITH a0 AS (FROM counts), "
    + ", ".join(f"a{n} AS (SELECT *, * FROM a{n - 1})" for n in range(1, 40))
    + " SELECT 1 FROM a39",
    "everything": "FROM counts",
    "pairs of rows": "SELECT count(*) FROM counts a, counts b",
    "medians of pairs": "SELECT median(a.app_opens + b.app_opens) FROM counts a, counts b",
    "sorted pairs": "SELECT a.date FROM counts a, counts b ORDER BY a.app_opens + b.app_opens",
    "every grouping": f"SELECT count(*) FROM counts GROUP BY CUBE ({ALL}, {OTHER_COLUMNS})",
    "too many groupings": "SELECT count(*) FROM counts GROUP BY "
    + ", ".join([f"CUBE ({ALL}, {OTHER_COLUMNS})"] * 3),
    "a subquery for each row": "SELECT count(*) FROM counts a WHERE app_opens > "
    "(SELECT median(b.app_opens) FROM counts b WHERE b.menu_opens > a.menu_opens)",
    "joins without an end": "SELECT count(*) FROM counts a "
    + " ".join(f"JOIN counts b{n} ON b{n}.app_opens = a.app_opens" for n in range(9)),
}


def test_there_are_more_than_forty_attempts() -> None:
    assert len(ESCAPES) + len(EXHAUSTIONS) >= 60


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ESCAPES, *EXHAUSTIONS])
def test_every_attempt_is_refused_and_costs_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MOST_SECONDS", 0.3)
    session = started()
    reply = ask(session, {**ESCAPES, **EXHAUSTIONS}[name])
    assert reply.status == "error"
    assert len(reply.message) < 900
    assert name in EXHAUSTIONS or "would have" not in reply.message  # refused, not too large
    assert session.spent.total() == 0
    assert reply.content["calls_left"] == 199
    monkeypatch.undo()
    assert rows("SELECT count(*), sum(app_opens) FROM counts") == [
        [EPISODE.cube.leaves * 56, int(EPISODE.counts[:, 0].sum())]
    ]


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
    monkeypatch.setattr(database, "require_allowed", lambda _: None)
    with pytest.raises(ToolArgumentError):
        EPISODE.database.query(str(ESCAPES[name]), PLENTY)
    assert rows("SELECT count(*) FROM counts") == [[EPISODE.cube.leaves * 56]]


@pytest.mark.slow
def test_a_query_that_takes_too_much_memory_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MOST_GROWTH", 64 << 20)
    with pytest.raises(ToolArgumentError, match="took too much memory and was stopped"):
        rows(EXHAUSTIONS["medians of pairs"])


def test_errors_teach() -> None:
    session = started()
    for query, words in (
        ("SELECT contry FROM counts", "Did you mean 'country'? Columns of counts: platform"),
        ("SELECT 1 FROM count", "no table 'count'. Did you mean 'counts'?"),
        ("SELECT lenght('x')", "Did you mean 'length'?"),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT 1; SELECT 2", "2 statements; allowed: one a call"),
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
    found = rows(f"SELECT 1 AS size, platform, country, channel FROM counts GROUP BY ALL {end}")
    names = [
        next(dim.names for dim in EPISODE.domain.dims if dim.name == name)
        for name in ("platform", "country", "channel")
    ]
    places = [[of.index(value) for of, value in zip(names, row[1:], strict=True)] for row in found]
    assert len(places) > 8
    assert places == sorted(places)


def test_what_analysts_write_is_allowed() -> None:
    for query in (
        "WITH a AS MATERIALIZED (SELECT 1 AS x) SELECT x FROM a UNION ALL SELECT 2 ORDER BY x",
        "SELECT platform, grouping(platform) FROM counts GROUP BY ROLLUP (platform)",
        "SELECT date, date - 7, isodow(date), date_trunc('week', date) FROM counts LIMIT 1",
        "SELECT CASE WHEN platform IN ('ios') AND NOT true THEN 1 END FROM counts LIMIT 1",
        "SELECT lag(app_opens) OVER (PARTITION BY platform ORDER BY date) FROM counts LIMIT 1",
        "SELECT date FROM counts GROUP BY date QUALIFY row_number() OVER (ORDER BY date) < 3",
        "SELECT quantile_cont(app_opens, 0.9), stddev(app_opens), mad(app_opens) FROM counts",
        "SELECT a.date FROM counts a JOIN counts b USING (platform, country) LIMIT 1",
        "SELECT * EXCLUDE (date) FROM counts WHERE date BETWEEN '2023-01-01' AND '2030-01-01' "
        "LIMIT 1",
        "SELECT count(DISTINCT date) FILTER (WHERE app_opens > 3) FROM counts",
        "SELECT DISTINCT ON (platform) platform, date FROM counts ORDER BY ALL",
        "SELECT (SELECT max(date) FROM counts), coalesce(NULL, 1), 7 // 2, 2 ** 3, -1::DOUBLE",
        "SELECT platform LIKE 'i%' OR platform IS NULL FROM counts LIMIT 1;",
    ):
        assert rows(query)


def test_every_offered_function_is_there_and_always_says_the_same() -> None:
    known = dict(
        duckdb.sql(
            "SELECT function_name, max(stability) FROM duckdb_functions() GROUP BY 1"
        ).fetchall()
    )
    spelled = {"if", "ifnull", "nullif", "grouping", "coalesce", "~~*", "!~~*"}  # by the parser
    assert guard.FUNCTIONS - guard.WINDOWS - known.keys() <= spelled
    assert {name for name in guard.FUNCTIONS if known.get(name) == "VOLATILE"} == set()


@pytest.mark.slow
def test_the_same_query_has_the_same_bytes() -> None:
    queries = [
        "SELECT country, channel, sum(menu_opens) / sum(app_opens) FROM counts GROUP BY ALL",
        "SELECT median(app_opens), stddev(app_opens), first(app_opens) FROM counts GROUP BY date",
        "SELECT DISTINCT app_opens FROM counts LIMIT 200",
        "SELECT mode(app_opens), arg_max(date, app_opens) FROM counts GROUP BY country",
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
