"""What queries cost and take: calls, steps of SQLite, memory, and worker processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from drilldown_env import packed_counts, session, sql, sql_worker
from drilldown_env.building import build_episode
from drilldown_env.config import DrillConfig
from drilldown_env.environment import ENVIRONMENT
from drilldown_env.episode import Episode
from drilldown_env.packed_counts import PackedCounts
from drilldown_env.session import DrillSession, episode_of
from openenv_kit.byte_cache import ByteCache
from openenv_kit.environment import Reply
from openenv_kit.reply import ReplyStatus
from openenv_kit.serving.episodes.episode_cache import MAX_CACHED_BYTES
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.settings import Settings

from .cases import EASY, EMPTY, WIDE, episode

COUNT = "SELECT count(*) FROM counts"
ENDLESS = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r"
EXPENSIVE = " UNION ALL ".join(["SELECT * FROM counts"] * 40) + " ORDER BY 1"


def opened() -> DrillSession:
    made = DrillSession()
    made.open("test", episode(WIDE))
    return made


def ask(made: DrillSession, query: Any) -> Reply:
    return made.step(action(query))


def action(query: Any) -> dict[str, Any]:
    return {"tool": "sql", "arguments": {"query": query}}


def queries_run() -> int:
    return sql.worker_counts().queries


@pytest.mark.parametrize("query", ["SELECT sigups FROM counts", "DELETE FROM counts", ENDLESS])
def test_refused_query_costs_a_call_and_says_what_is_left(query: str) -> None:
    made = opened()
    reply = ask(made, query)
    assert reply.status == ReplyStatus.ERROR
    assert reply.observation_fields["calls_left"] == 44
    assert (
        f"44 calls and {sql.MAX_EPISODE_STEPS - made.sql_steps:,} steps are left" in reply.message
    )


def test_query_refused_for_memory_costs_a_call_and_its_steps() -> None:
    made = opened()
    reply = ask(made, EXPENSIVE)
    assert "more memory than one query may" in reply.message
    assert reply.observation_fields["calls_left"] == 44
    assert made.sql_steps > 1_000_000


def test_query_of_the_wrong_type_costs_no_call() -> None:
    made = opened()
    assert ask(made, 7).observation_fields["calls_left"] == 45
    assert made.sql_steps == 0


def test_calls_spent_on_refused_queries_leave_none_for_others() -> None:
    made = opened()
    for _ in range(45):
        ask(made, "DELETE FROM counts")
    before = queries_run()
    assert "All 45 calls" in ask(made, COUNT).message
    assert queries_run() == before


def test_query_takes_no_more_steps_than_the_episode_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "MAX_EPISODE_STEPS", 1_000_000)
    made = opened()
    assert "it takes more than 1,000,000 steps" in ask(made, ENDLESS).message
    assert made.sql_steps == 1_000_000


def test_episode_without_steps_refuses_queries_and_runs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "MAX_EPISODE_STEPS", 1_000_000)
    made = opened()
    ask(made, ENDLESS)
    before = queries_run()
    reply = ask(made, COUNT)
    assert "All 1,000,000 SQLite steps" in reply.message
    assert reply.observation_fields["calls_left"] == 44
    assert queries_run() == before
    rows = [row.as_dict() for row in episode(WIDE).expected_rows]
    assert made.step({"tool": "submit_report", "arguments": {"rows": rows}}).reward == 1.0


def test_query_stopped_by_the_clock_is_charged_steps_and_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sql, "PATIENCE", 0.0)
    made = opened()
    reply = ask(made, ENDLESS)
    assert "Ask again" in reply.message
    assert reply.observation_fields["calls_left"] == 45
    assert made.sql_steps == sql.MAX_QUERY_STEPS


def test_query_of_few_steps_and_much_cpu_time_is_refused_and_charged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Functions of texts take long and few steps."""
    script = tmp_path / "sql_worker.py"
    text = Path(sql_worker.__file__).read_text(encoding="utf-8")
    script.write_text(text.replace("MAX_CPU_S = 5", "MAX_CPU_S = 1"), encoding="utf-8")
    monkeypatch.setattr(sql, "_SCRIPT", script)
    sql.close_workers()
    trimmed = f"trim(substr('{'a' * 180}', 1, 170 + a.signups % 3), '{'b' * 50}a')"
    made = opened()
    try:
        reply = ask(made, f"SELECT sum(length({trimmed})) AS n FROM counts a, counts b")
        assert "it takes more than 20,000,000 steps" in reply.message
        assert reply.observation_fields["calls_left"] == 44
        assert made.sql_steps == sql.MAX_QUERY_STEPS
        assert ask(made, COUNT).status == "answered"
    finally:
        sql.close_workers()


@pytest.mark.parametrize("query", [COUNT, "SELECT sigups FROM counts", ENDLESS])
def test_replayed_query_gives_the_same_reply_and_runs_nothing(query: str) -> None:
    first, second = opened(), opened()
    reply = ask(first, query)
    before = queries_run()
    assert second.repeat_stored_step(action(query), first.last_slow_result) == reply
    assert queries_run() == before
    assert (second.calls, second.sql_steps) == (first.calls, first.sql_steps)
    assert second.sql_steps > 0


async def test_restarted_server_runs_no_query_again(tmp_path: Path) -> None:
    settings = Settings(episode_store=str(tmp_path / "s.db"))
    server = EpisodeService(settings, ENVIRONMENT)
    started = await server.reset({"difficulty": "drill_sql", "seed": 1})
    assert started.access is not None
    replies = [
        await server.step(started.access, action(query), query)
        for query in (COUNT, ENDLESS, "DELETE FROM counts")
    ]
    await server.close_store_and_clear_cache()
    before = queries_run()
    server = EpisodeService(settings, ENVIRONMENT)
    assert (await server.get_progress_without_id_for_players(started.access))["step_count"] == 3
    for query, reply in zip((COUNT, ENDLESS, "DELETE FROM counts"), replies, strict=True):
        assert await server.step(started.access, action(query), query) == reply
    assert queries_run() == before
    last = await server.step(started.access, action(COUNT))
    assert last["observation"]["calls_left"] == 41
    await server.close_store_and_clear_cache()


# What is shared, and how much is kept.


def test_sessions_of_one_episode_share_it_and_its_database() -> None:
    config = DrillConfig(5, "drill_sql", "video_streaming", 2)
    before = sql.worker_counts().databases_built
    group = [DrillSession() for _ in range(8)]
    for made in group:
        made.open("test", episode_of(config))
        assert ask(made, COUNT).status == "answered"
    assert len({id(made.episode) for made in group}) == 1
    assert sql.worker_counts().databases_built == before + 1


def test_sessions_share_an_episode_that_the_cache_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    cache: ByteCache[DrillConfig, Episode] = ByteCache(1, lambda made: made.size_bytes)
    monkeypatch.setattr(session, "EPISODES", cache)
    one, other = DrillSession(), DrillSession()
    for made in (one, other):
        made.reset(difficulty="drill_easy", seed=7)
    assert one.episode is other.episode
    assert len(cache) == 0


def test_episodes_that_are_kept_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [episode(config) for config in (EASY, EMPTY, WIDE)]
    limit = made[0].size_bytes + made[1].size_bytes
    cache: ByteCache[DrillConfig, Episode] = ByteCache(limit, lambda each: each.size_bytes)
    monkeypatch.setattr(session, "EPISODES", cache)
    monkeypatch.setattr(session, "build_episode", {each.config: each for each in made}.get)
    for each in (EASY, EMPTY, WIDE):
        episode_of(each)
        assert cache.cached_bytes <= limit


def test_packed_counts_give_back_the_counts_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: ByteCache[int, Any] = ByteCache(0, lambda counts: counts.nbytes)
    monkeypatch.setattr(packed_counts, "UNPACKED", kept)
    made = build_episode(EASY)
    counts = made.counts.copy()
    counts[0, 0, :3] = (-1, 2**31 - 1, 70_000)
    packed = PackedCounts(counts.copy())
    found = packed.unpack()
    assert (found == counts).all()
    assert (found.dtype, found.shape, found.flags.writeable) == (counts.dtype, counts.shape, False)
    assert len(kept) == 0


def test_session_keeps_less_than_half_of_the_counts() -> None:
    made = opened()
    assert made.episode is not None
    assert made.memory_bytes < 0.5 * made.episode.counts.nbytes


def test_databases_of_a_worker_are_bounded_by_bytes() -> None:
    """In a process of its own: SQLite's memory limit is the whole process's."""
    script = (
        "import array, sys; from drilldown_env import sql_worker\n"
        "counts = array.array('i', range(2 * 1 * 56)).tobytes()\n"
        "tables = {'dims': {'plan': ['a', 'b']}, 'stages': ['visits'], 'changes': [],\n"
        "          'dates': [str(day) for day in range(56)], 'counts': counts}\n"
        "databases = sql_worker.Databases()\n"
        "def ask(key, tables=tables):\n"
        "    parts = ('SELECT count(*) FROM counts', '', False)\n"
        "    return databases.answer(key, tables, parts, 10, 10**6)[0]\n"
        "ask('a')\n"
        "size = next(iter(databases._open.values())).size_bytes\n"
        "sql_worker.MAX_DATABASES_BYTES = 3 * size\n"
        "print([ask(key) for key in 'bcd'], list(databases._open), ask('a', None))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    assert found.stdout.split("\n")[0] == "['ok', 'ok', 'ok'] ['b', 'c', 'd'] unknown"


def test_pod_full_of_the_most_expensive_level_fits_its_memory_limit() -> None:
    """By estimates of each part; `benchmarks.full_server` measures the sum."""
    manifest = Path("deploy/kubernetes/metric-tracker.yaml").read_text(encoding="utf-8")
    spec = next(yaml.safe_load_all(manifest))["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    sessions = {each["name"]: each.get("value") for each in container["env"]}
    empty_server, in_tmp, sql_process = 260 << 20, 64 << 20, 12 << 20
    caches = MAX_CACHED_BYTES + session.EPISODES.max_bytes + packed_counts.MAX_UNPACKED_BYTES
    needed = (
        empty_server
        + in_tmp
        + caches
        + 2 * (sql_process + sql_worker.HEAP)
        + int(sessions["MAX_CONCURRENT_ENVS"]) * opened().memory_bytes
    )
    limit = container["resources"]["limits"]["memory"]
    assert needed < 0.8 * int(limit.removesuffix("Gi")) * 2**30
