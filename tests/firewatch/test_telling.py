"""What a player is told agrees with itself and with the world."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from firewatch_env.actions import act
from firewatch_env.engine.service import Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.logs import lines
from firewatch_env.play import Play
from firewatch_env.tasks.book import find
from firewatch_env.tasks.named import NAMED
from tests.firewatch.test_engine import NAMES, a_world, course


def with_lever(service: str, lever: str, value: float) -> tuple[World, Service]:
    world = a_world(names=NAMES | {"cart-api", "cart-cache", "cart-db"})
    world.set_lever(world.by_name[service], lever, value)
    course(world, 2)
    return world, world.by_name[service]


@pytest.fixture(scope="module", name="plays")
def _plays() -> list[Play]:
    return [Play(find({"task_id": name}), graded=False) for name in NAMED]


def test_the_page_and_the_situation_give_one_share_of_customers(plays: list[Play]) -> None:
    both = [
        (*pages, *re.findall(r"Customers: ([\d.]+)% are let down", play.message))
        for play in plays
        if (pages := re.findall(r" ([\d.]+)% of customers are let down", play.message))
    ]
    assert len(both) > 40
    assert all(page == situation for page, situation in both)


def test_a_raised_limit_gives_a_growing_heap_more_time() -> None:
    world, service = with_lever("order-api", "grow.bulk", 0.02)
    ticks = []
    for limit in (1.0, 2.0):
        service.memory_limit = limit
        world.step()
        text = act(world, "check_gc_pressure", "order-api", {}).text
        ticks.append(int(re.findall(r"full in (\d+) ticks", text)[0]))
    assert ticks[1] > 2 * ticks[0]


def test_a_heap_that_stops_below_its_limit_is_not_said_to_fill_up() -> None:
    for value, ends in ((0.2, "stops before it is full"), (6.0, "full in")):
        world, _ = with_lever("order-api", "fill.feed", value)
        assert ends in act(world, "check_gc_pressure", "order-api", {}).text


def test_threads_that_hold_memory_are_stuck_in_the_thread_dump_too() -> None:
    world, _ = with_lever("order-api", "leak", 0.02)
    assert "stuck threads +" in act(world, "check_gc_pressure", "order-api", {}).text
    dump = act(world, "thread_dump", "order-api", {}).text
    assert "stuck worker threads" in dump
    assert "none stuck" not in dump


def test_a_busy_pod_is_one_of_the_services_own() -> None:
    world, service = with_lever("order-api", "hot.bulk", 0.5)
    service.pods = 4
    text = act(world, "inspect_cluster_topology", "order-api", {}).text
    pod = int(re.findall(r"pod (\d+) gets more than its share", text)[0])
    assert 1 <= pod <= service.pods
    assert all(int(share) <= 100 for share in re.findall(r"(\d+)%", text))


def test_a_cold_cache_is_shown_with_the_stored_data_and_warmed_by_halves() -> None:
    world, service = with_lever("cart-cache", "cold_cache", 0.2)
    assert "cold after a restart" in act(world, "inspect_consensus_state", "cart-cache", {}).text
    said = [act(world, "enable_cache_warming", "cart-cache", {}).text for _ in range(3)]
    assert ["half of the missing" in text for text in said] == [True, True, False]
    assert "cold_cache" not in service.levers


def test_what_is_routine_in_logs_and_who_is_no_customer_vary(plays: list[Play]) -> None:
    first = [lines(play.world, play.world.entries[0])[0][9:] for play in plays]
    assert len(set(first)) > 30
    assert len(set(_strangers(plays))) >= 5


def _strangers(plays: list[Play]) -> Iterator[str]:
    for play in plays:
        for service in play.world.services:
            text = act(play.world, "get_metrics_detail", service.name, {}).text
            yield from re.findall(r"s go to (.*), not to customers", text)


def test_the_last_message_names_what_was_not_needed() -> None:
    play = Play(find({"task_id": "task_easy_alert_fatigue"}))
    entry = play.task.entry
    play.act("restart_service", entry, {})
    play.act("force_ntp_sync", entry, {})
    play.act("declare_resolved", None, {})
    named = f"not needed: restart_service {entry} (tick 1); force_ntp_sync {entry} (tick 2)."
    assert play.message.endswith(named)
