"""Queries: ordinary ones are answered, hostile ones take nothing with them, both alike for ever."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from functools import cache

import pytest

from drilldown_env import sql
from drilldown_env.policies.reader import ATTEMPTS, ask
from drilldown_env.sql import UnavailableError, read_query, run_query
from openenv_kit.errors import ToolArgumentError

from .cases import HOSTILE, ORDINARY, WIDE, episode


def answer(query: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql, "PATIENCE", 120.0)  # no clock decides what the answer is
        try:
            return json.dumps(run_query(episode(WIDE), query))
        except ToolArgumentError as problem:
            return str(problem)


@cache
def first_answer(query: str) -> str:
    """What this process answered first; hostile queries take seconds."""
    return answer(query)


@pytest.mark.parametrize("query", ORDINARY)
def test_what_analysts_write_is_answered(query: str) -> None:
    assert run_query(episode(WIDE), query)["columns"]


@pytest.mark.parametrize("query", HOSTILE)
@pytest.mark.slow
def test_what_is_hostile_ends_and_leaves_the_tables_alone(query: str) -> None:
    before = answer("SELECT count(*), sum(signups) FROM counts")
    reply = first_answer(query)
    assert len(reply) < 25_000
    assert query not in reply
    assert answer("SELECT count(*), sum(signups) FROM counts") == before


def test_sums_are_those_of_the_counts() -> None:
    found = run_query(episode(WIDE), "SELECT sum(pricing_views), sum(signups) FROM counts")
    counts = episode(WIDE).counts
    assert found["rows"] == [[int(counts[:, 0].sum()), int(counts[:, 1].sum())]]


@pytest.mark.slow
def test_a_fresh_process_answers_alike_byte_for_byte() -> None:
    script = (
        "import json\nfrom tests.drilldown.cases import HOSTILE, ORDINARY\n"
        "from tests.drilldown.test_sql import answer\n"
        "print(json.dumps([answer(q) for q in (*ORDINARY, *HOSTILE)]))"
    )
    fresh = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert json.loads(fresh.stdout) == [first_answer(q) for q in (*ORDINARY, *HOSTILE)]


def test_rows_without_an_order_come_in_the_order_of_their_columns() -> None:
    rows = run_query(episode(WIDE), "SELECT region, plan FROM counts GROUP BY plan, region")["rows"]
    assert rows == sorted(rows)


def test_ties_of_an_order_are_settled_by_the_columns() -> None:
    query = "SELECT week, plan FROM counts GROUP BY plan, week ORDER BY week % 2 LIMIT 5"
    rows = run_query(episode(WIDE), query)["rows"]
    assert rows == sorted(rows)
    assert {row[0] % 2 for row in rows} == {0}


def test_a_limit_in_a_subquery_is_not_the_query_s_own() -> None:
    before, after, ordered = read_query("SELECT * FROM (SELECT 1 ORDER BY 1 LIMIT 1)")
    assert (after, ordered) == ("", False)
    assert before.endswith("LIMIT 1)")


def test_a_comment_hides_nothing() -> None:
    assert run_query(episode(WIDE), "SELECT 2 UNION SELECT 1 -- order")["rows"] == [[1], [2]]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT plan || region FROM counts", "|| is not offered"),
        ("SELECT CAST(week AS TEXT) FROM counts", "CAST is offered to INTEGER and REAL"),
        ("SELECT printf('%f', 0.1)", "the function printf is not offered"),
        ("SELECT sigups FROM counts", "no such column: sigups"),
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("UPDATE counts SET day = 1", "one SELECT"),
        ("SELECT 1; SELECT 2", "one statement"),
    ],
)
def test_refusals_say_what_is_wrong(query: str, said: str) -> None:
    with pytest.raises(ToolArgumentError, match="sql") as refused:
        run_query(episode(WIDE), query)
    assert said in str(refused.value)


def test_long_answers_are_cut_and_say_so() -> None:
    found = run_query(episode(WIDE), "SELECT * FROM counts")
    assert 0 < len(found["rows"]) <= 300
    assert "there are more" in found["cut"]
    assert len(json.dumps(found["rows"])) < 20_500


@pytest.mark.slow
def test_a_query_stopped_by_the_clock_has_no_answer_and_the_next_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sql, "PATIENCE", 0.0)
    with pytest.raises(UnavailableError):
        run_query(episode(WIDE), "SELECT count(*) FROM counts a, counts b")
    monkeypatch.undo()
    assert run_query(episode(WIDE), "SELECT 1")["rows"] == [[1]]


@pytest.mark.slow
def test_a_scripted_player_whose_queries_are_always_stopped_says_so() -> None:
    asking = ask("sql", query="SELECT 1")
    next(asking)
    for _ in range(ATTEMPTS - 1):
        asking.send({"message": "stopped"})
    with pytest.raises(RuntimeError, match="sql had no result in 4 attempts: stopped"):
        asking.send({"message": "stopped"})


def test_a_query_is_answered_where_more_files_are_open_than_select_can_name() -> None:
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2048), hard))
    sql.close_workers()
    held = [os.dup(0) for _ in range(1100)]
    try:
        assert run_query(episode(WIDE), "SELECT 1")["rows"] == [[1]]
    finally:
        for each in held:
            os.close(each)
        sql.close_workers()
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
