"""The level that is played by SQL: tables, refusals, limits, and its reference."""

from __future__ import annotations

import pytest

from drilldown_next.environment import ENVIRONMENT
from drilldown_next.policies.players import POLICIES
from drilldown_next.policies.sql_comparison import (
    build_comparison_query,
    build_daily_query,
    read_comparison,
    read_daily_counts,
)
from drilldown_next.session import DrilldownSession
from drilldown_next.slicing import CompareArguments, Removed, run_compare
from drilldown_next.sql import MAX_ROWS, close_workers, execute_query
from drilldown_next.tools import describe_episode
from openenv_kit.reply import ReplyStatus
from openenv_kit.rollouts.run_policy import run_policy

from .cases import BY_SQL, call, episode_of, open_session

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def workers():
    yield
    close_workers()


def ask(query: str) -> list[list]:
    outcome = execute_query(episode_of(BY_SQL), query)
    assert outcome.answer is not None, outcome.refusal
    return outcome.answer["rows"]


def test_tools_of_the_level() -> None:
    tools = ENVIRONMENT.tools.select_for_episode({"difficulty": "sql"}).tool_names
    assert tools == ["top_segments", "sql", "change_log", "submit_report"]


def test_tables_hold_the_episode() -> None:
    episode = episode_of(BY_SQL)
    stages = episode.product.stages
    sums = ", ".join(f"sum({stage})" for stage in stages)
    assert ask(f"SELECT {sums} FROM counts")[0] == episode.counts.sum(axis=(0, 2)).tolist()
    assert ask("SELECT count(*) FROM changes") == [[len(episode.log)]]
    assert ask("SELECT id FROM changes")[0] == ["chg-01"]
    calendar = ask("SELECT step, date_from FROM calendar")
    place = episode.calendar[0].place
    assert calendar == [[episode.product.step_names[place.step], episode.dates[place.first]]]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("DELETE FROM counts", "one SELECT"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT id || date FROM changes", "not offered"),
        ("SELECT CAST(day AS TEXT) FROM counts", "INTEGER and REAL"),
        ("SELECT random()", "random"),
        ("SELECT * FROM sqlite_master", "no such table"),
        ("WITH x AS (SELECT 1) DELETE FROM counts", "syntax error"),
        ("SELECT orders FROM counts", "no such column"),
    ],
)
def test_refused_query_names_the_reason_and_takes_a_call(query: str, named: str) -> None:
    session = open_session(BY_SQL)
    budget = episode_of(BY_SQL).level.call_budget
    reply = call(session, "sql", query=query)
    assert reply.status == ReplyStatus.ERROR
    assert named in reply.message
    assert reply.observation_fields["calls_left"] == budget - 1


def test_long_answer_is_cut_and_endless_query_is_stopped() -> None:
    outcome = execute_query(episode_of(BY_SQL), "SELECT day FROM counts")
    assert outcome.answer is not None
    assert len(outcome.answer["rows"]) == MAX_ROWS
    assert "first 300 rows" in outcome.answer["cut"]
    endless = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r"
    assert "more than" in execute_query(episode_of(BY_SQL), endless, 1_000_000).refusal


def test_rebuilt_session_reuses_the_stored_result() -> None:
    session = open_session(BY_SQL)
    action = {"tool": "sql", "arguments": {"query": "SELECT count(*) FROM changes"}}
    reply = session.step(action)
    stored = {**session.last_slow_result, "answer": {"columns": ["n"], "rows": [[-1]]}}
    rebuilt = open_session(BY_SQL)
    assert rebuilt.repeat_stored_step(action, stored).observation_fields["result"]["rows"] == [[-1]]
    assert reply.observation_fields["result"]["rows"] == [[len(episode_of(BY_SQL).log)]]


def test_queries_of_the_reference_agree_with_compare() -> None:
    episode = episode_of(BY_SQL)
    config, row = describe_episode(episode), episode.expected_rows[0]
    step = episode.product.step_names[row.step]
    segment = episode.product.name_segment(row.segment)
    dates = [episode.dates[row.first - 2], episode.dates[row.last]]
    removed = [{"segment": {"plan": "team"}, "dates": [episode.dates[3], episode.dates[9]]}]
    expected = run_compare(
        episode,
        CompareArguments(step=step, segment=segment, dates=dates, without=[Removed(**removed[0])]),
    )
    daily = execute_query(episode, build_daily_query(config, step, segment, removed))
    full = execute_query(episode, build_comparison_query(config, step, segment, dates, removed))
    for found in (read_daily_counts(daily.answer, dates), read_comparison(full.answer)):
        assert found["usual_odds_ratio"] == pytest.approx(expected["usual_odds_ratio"], rel=1e-4)
        assert found["scale"] == pytest.approx(expected["scale"], rel=1e-3)
        assert [r[:5] for r in found["rows"]] == [r[:5] for r in expected["rows"]]
    spreads = [r[6] for r in read_comparison(full.answer)["rows"]]
    assert spreads == pytest.approx([r[6] for r in expected["rows"]], abs=0.006)


def test_reference_earns_one_by_sql() -> None:
    session = DrilldownSession()
    opening = session.open_episode("test", episode_of(BY_SQL))
    assert run_policy(session, POLICIES["reference"], opening).score == 1.0
