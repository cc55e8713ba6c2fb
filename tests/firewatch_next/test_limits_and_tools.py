"""Limits, caches, jobs and indexes act as their settings say, and tools change them."""

from __future__ import annotations

import pytest

from firewatch_next.actions.action import ActionError
from firewatch_next.actions.registry import take_action
from firewatch_next.grading.replay import measure_final_harm
from firewatch_next.simulation.build_world import build_world
from firewatch_next.simulation.caches import find_size_for_hits
from firewatch_next.simulation.edits import SetJob
from firewatch_next.simulation.latency import combine_modes
from firewatch_next.simulation.service import (
    BreakerState,
    CalleeClient,
    Mode,
    Service,
    ServiceKind,
)
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream


@pytest.fixture
def world() -> World:
    world = build_world(BitStream("limits 0"), 20)
    world.advance_to(world.first_tick + 2)
    return world


def advance(world: World, ticks: int) -> None:
    world.advance_to(world.tick + ticks)


def first_of_kind(world: World, kind: ServiceKind) -> Service:
    return next(service for service in world.ordered if service.kind is kind)


def cached_client(world: World) -> CalleeClient:
    return next(client for service in world.ordered for client in service.clients if client.cache)


def needed_client(world: World) -> CalleeClient:
    return next(
        client
        for service in world.ordered
        for client in service.clients
        if not client.is_optional and service.kind is ServiceKind.APPLICATION
    )


def test_rate_limit_refuses_the_load_beyond_it(world: World) -> None:
    entry = world.entries[0]
    take_action(world, "set_limit", entry.name, {"kind": "rate", "value": entry.load * 0.8})
    advance(world, 30)
    assert entry.failed_share == pytest.approx(0.2, abs=0.03)
    assert measure_final_harm(world) == 0.0  # it was for the time being


def test_limit_of_a_caller_refuses_its_calls_beyond_it(world: World) -> None:
    client = needed_client(world)
    limit = {"kind": "caller", "caller": client.caller, "value": client.flow / 2.0}
    take_action(world, "set_limit", client.callee, limit)
    advance(world, 30)
    assert client.flow == pytest.approx(limit["value"])
    assert client.failed_share == pytest.approx(0.5, abs=0.03)
    measure_final_harm(world)
    assert client.failed_share < 0.01


def test_limit_of_misses_refuses_calls_to_the_store_behind_a_cache(world: World) -> None:
    client = cached_client(world)
    take_action(world, "set_limit", client.cache, {"kind": "cache_misses", "value": 1.0})
    advance(world, 5)
    assert client.flow == pytest.approx(1.0)
    assert client.limited_share > 0.5


def test_limit_of_robots_lets_in_no_more(world: World) -> None:
    entry = world.entries[0]
    take_action(world, "set_limit", entry.name, {"kind": "bots", "value": 7})
    advance(world, 1)
    assert entry.bot_limit == 7.0


@pytest.mark.parametrize(("key", "tool"), [("cache_mb", "scale_service"), ("", "set_config")])
def test_smaller_or_shorter_cache_loses_hits_and_gets_them_back(
    world: World, key: str, tool: str
) -> None:
    cache = first_of_kind(world, ServiceKind.CACHE)
    usual = cache.cache_hit_share
    halved = {"cache_mb": cache.cache_megabytes / 2}
    restored = {"cache_mb": cache.cache_megabytes}
    if not key:
        halved = {"key": "cache_ttl_s", "value": str(cache.cache_ttl_seconds / 2)}
        restored = {"key": "cache_ttl_s", "value": str(cache.cache_ttl_seconds)}
    take_action(world, tool, cache.name, halved)
    advance(world, 1)
    assert cache.cache_hit_share == pytest.approx(usual - usual * 0.25 / 6.0)
    advance(world, 60)
    assert cache.cache_hit_share == pytest.approx(usual * 0.75, rel=1e-3)
    take_action(world, tool, cache.name, restored)
    advance(world, 90)
    assert cache.cache_hit_share == usual


def test_size_for_hits_is_the_inverse_of_the_kept_share() -> None:
    for size in (0.1, 0.5, 0.9):
        assert find_size_for_hits(size * (2.0 - size)) == pytest.approx(size, abs=0.01)


def test_job_takes_cpu_until_it_is_stopped_or_throttled(world: World) -> None:
    store = first_of_kind(world, ServiceKind.STORE)
    usual = store.utilization
    job = next(iter(store.jobs.values()))
    cores = store.cpu_cores * len(store.pods)
    job.load = 0.4 * cores / job.cpu_seconds_per_request
    world.schedule(world.tick + 1, SetJob(store.name, job.name, True))
    advance(world, 2)
    assert store.utilization == pytest.approx(usual + 0.4, abs=0.03)
    limit = {"kind": "caller", "caller": job.name, "value": job.load / 4.0}
    take_action(world, "set_limit", store.name, limit)
    advance(world, 2)
    assert store.utilization == pytest.approx(usual + 0.1, abs=0.03)
    take_action(world, "stop_job", store.name, {"job": job.name})
    advance(world, 2)
    assert store.utilization == pytest.approx(usual, abs=0.03)
    repeated = take_action(world, "stop_job", store.name, {"job": job.name})
    assert not repeated.edits


def test_index_is_built_after_some_ticks(world: World) -> None:
    store = first_of_kind(world, ServiceKind.STORE)
    statement = next(iter(store.statements.values()))
    statement.has_index = False
    started = world.tick
    take_action(world, "repair_data", store.name, {"what": "index", "name": statement.index})
    advance(world, 4)
    assert not statement.has_index
    advance(world, 1)
    assert statement.has_index
    assert statement.index_built_tick == started + 5


def test_statements_of_a_store_cover_the_calls_of_each_caller(world: World) -> None:
    for store in world.ordered:
        if store.kind is not ServiceKind.STORE:
            assert not store.statements
            continue
        for caller in world.callers[store.name]:
            shares = [s.share for s in store.statements.values() if s.user == caller]
            assert shares == [0.6, 0.4]


def test_breaker_opens_for_one_callee_and_closes_for_all(world: World) -> None:
    client = needed_client(world)
    take_action(world, "set_breaker", client.caller, {"callee": client.callee, "state": "open"})
    advance(world, 1)
    assert client.breaker is BreakerState.OPEN
    assert client.flow == 0.0
    take_action(world, "set_breaker", client.caller, {"state": "closed"})
    advance(world, 1)
    assert client.breaker is BreakerState.CLOSED
    assert client.flow > 0.0


def test_client_gets_timeout_attempts_and_back_off(world: World) -> None:
    client = needed_client(world)
    arguments = {"callee": client.callee, "timeout_ms": 900, "max_attempts": 4, "backoff": True}
    take_action(world, "set_client", client.caller, arguments)
    advance(world, 1)
    assert (client.timeout_seconds, client.max_attempts, client.is_backed_off) == (0.9, 4, True)
    settings = world.services[client.caller].settings
    assert settings[f"timeout_ms.{client.callee}"] == "900"
    assert not take_action(world, "set_client", client.caller, arguments).edits


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("set_limit", {"kind": "robots", "value": 1}, "kind is 'robots'; .* nearest: bots"),
        ("set_limit", {"kind": "rate", "value": -1}, "value is -1; allowed: a number from 0"),
        ("set_breaker", {"state": "ajar"}, "state is 'ajar'; allowed: closed, open"),
        ("set_client", {}, "allowed: timeout_ms, max_attempts, backoff"),
        ("set_client", {"max_attempts": 11}, "max_attempts is 11; allowed: a number from 1 to 10"),
        ("stop_job", {"job": "none"}, "job is 'none'; allowed: none"),
        ("repair_data", {"what": "indices"}, "what is 'indices'; .*nearest: index"),
        ("scale_service", {"cache_mb": 64}, "allowed: replicas, cpu_cores, memory_mb, and cache"),
    ],
)
def test_tool_names_the_wrong_argument_and_what_is_allowed(
    world: World, tool: str, arguments: dict[str, str | int], message: str
) -> None:
    service = first_of_kind(world, ServiceKind.APPLICATION)
    with pytest.raises(ActionError, match=message):
        take_action(world, tool, service.name, arguments)


def test_connections_to_pods_that_were_just_killed_are_refused(world: World) -> None:
    service = first_of_kind(world, ServiceKind.APPLICATION)
    pods = len(service.pods)
    service.pods[0].leaked_bytes = 2.0 * service.memory_limit_bytes
    world.wake(service.name)
    advance(world, 1)
    assert service.dead_share == pytest.approx(1.0 / pods)
    advance(world, 1)
    client = world.incoming[service.name][0]
    assert client.dead_share == pytest.approx(1.0 / pods)
    assert client.attempt_failed_share > 0.9 / pods
    advance(world, 2)
    assert client.dead_share == 0.0


def test_hot_node_gets_more_traffic(world: World) -> None:
    service = first_of_kind(world, ServiceKind.APPLICATION)
    group = service.groups[0]
    share = group.traffic_share
    on_node = [g for g in service.groups if g.node == group.node]
    before = len(on_node)
    service.hot_node, service.hot_factor = group.node, 3.0
    world.wake(service.name)
    advance(world, 1)
    assert len([g for g in service.groups if g.node == group.node]) == before
    assert service.groups[0].traffic_share > 1.4 * share


def test_longest_delays_keep_their_share_when_delays_overlap() -> None:
    fast = Mode(1.0, 0.01, 1.2)
    modes = combine_modes(fast, [Mode(0.7, 0.1, 1.2), Mode(0.9, 2.0, 1.2)])
    shares = [(round(mode.share, 6), mode.median) for mode in modes]
    assert shares == [(0.0, 0.01), (0.9, 2.0), (0.1, 0.1)]
