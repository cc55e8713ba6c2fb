"""What single looks say of one lever that is off."""

from __future__ import annotations

import re

import pytest

from firewatch_env.actions import act
from firewatch_env.engine.motion import EASE
from firewatch_env.engine.service import Release
from firewatch_env.evidence.logs import lines
from firewatch_env.evidence.meters import by_status
from firewatch_env.play import Play
from firewatch_env.tasks.book import find
from support.firewatch_worlds import a_world, by_client, course, situation_of, with_lever


def test_timeouts_of_callees_are_told_apart_from_their_errors() -> None:
    world, service = with_lever("order-api", "timeout.order-db", 0.004)
    assert set(by_status(service)) == {"callees' timeouts"}
    world.set_lever(world.by_name["order-db"], "errors.bulk", 0.4)
    world.set_lever(service, "timeout.order-db", 0.018)
    course(world, 2)
    assert set(by_status(service)) == {"callees' timeouts", "callees' errors"}
    text = act(world, "trace_dependencies", "order-api", {}).text
    failed = r"order-db: \d+% of calls fail after 2 tries \(.*timed out after \d+ ms \d+%"
    assert re.search(failed, text)


def test_a_busy_pod_is_told_beside_the_others() -> None:
    world, _ = with_lever("order-api", "hot.bulk", 1.0)
    text = act(world, "inspect_cluster_topology", "order-api", {}).text
    busiest, other = map(int, re.findall(r"has (\d+)% of the requests, each other (\d+)%", text)[0])
    assert busiest > 3 * other > 0
    assert "alike" not in text
    assert "in the busiest pod 200 of 200" in act(world, "thread_dump", "order-api", {}).text


def test_a_heap_under_repair_is_not_said_to_grow_and_one_that_grows_never_to_hold_nothing() -> None:
    world, service = with_lever("order-api", "grow.bulk", 0.004)
    text = act(world, "check_gc_pressure", "order-api", {}).text
    assert "above usual: nothing yet" in text
    act(world, "restart_service", "order-api", {})
    world.step()
    assert "being replaced" in act(world, "check_gc_pressure", "order-api", {}).text
    service.parts[0].renew, service.memory = 0, 0.999
    world.set_lever(service, "grow.bulk", 0.9)
    service.now = service.now._replace(memory=0.999)
    assert "full in about 0.5 min" in act(world, "check_gc_pressure", "order-api", {}).text


@pytest.mark.parametrize("value", [0.3, 1.0])
def test_a_line_that_repeats_stands_once_with_how_often(value: float) -> None:
    world, service = with_lever("order-api", "leaders", value)
    (line,) = [each for each in lines(world, service) if "two primaries" in each]
    times = int(re.findall(r"\(×([\d,]+) in 30 s\)", line)[0].replace(",", ""))
    assert times == pytest.approx(30 * service.load * value, rel=0.01)


def test_a_log_is_in_order_and_only_ever_added_to() -> None:
    world = a_world()
    service = world.entries[0]
    before = lines(world, service)
    assert [each[3:8] for each in before] == sorted(each[3:8] for each in before)
    world.step()
    after = lines(world, service)
    assert after[: len(before)] == before
    assert len(after) == len(before) + 1


def test_a_service_that_nobody_asks_logs_nothing() -> None:
    world = a_world()
    service = world.entries[0]
    service.load = 0.0
    assert lines(world, service) == ("no line in the last two minutes",)


def test_a_log_still_tells_of_what_has_been_mended() -> None:
    world = Play(find({"task_id": "task_easy_thread_deadlock"}), graded=False).world
    service = world.by_name["catalog-db"]
    failed = {line for line in lines(world, service) if "lock" in line}
    act(world, "restart_service", "catalog-db", {})
    course(world, EASE + 1)
    assert "blocked" not in service.levers
    assert len(failed) > 1
    assert failed <= set(lines(world, service))


def test_a_split_in_which_all_fail_alike_says_so() -> None:
    world, _ = with_lever("order-api", "leaders", 0.4)
    assert "By feature: no difference." in act(world, "get_metrics_detail", "order-api", {}).text


def test_a_breaker_that_is_stuck_says_since_when() -> None:
    play = Play(find({"task_id": "task_medium_circuit_breaker_masking"}), graded=False)
    (each,) = play.task.circumstances[: play.task.faults[1]]
    text = act(play.world, "trace_dependencies", each.service, {}).text
    assert (
        f"breaker open since {play.world.clock(each.tick)} (circuit to {each.lever[9:]} forced"
        in text
    )


@pytest.mark.parametrize("lever", ["cpu.bulk", "calls.order-db"])
def test_what_zone_b_alone_runs_is_told_by_zone(lever: str) -> None:
    world, service = with_lever("order-api", lever, 6.0)
    service.staged.add(lever)
    world.refresh(service)
    course(world, 2)
    looks = ("profiler_dump", "trace_dependencies")
    text = "".join(act(world, look, "order-api", {}).text for look in looks)
    ((a, b),) = re.findall(r"\(zone a ([\d.]+)x, zone b ([\d.]+)x\)", text)
    part = service.features.get(lever.partition(".")[2], 1.0)
    assert (float(a), float(b)) == (1.0, pytest.approx(1 + part * 5, abs=0.06))


def test_a_raised_limit_gives_a_growing_heap_more_time() -> None:
    world, service = with_lever("order-api", "grow.bulk", 0.02)
    ticks = []
    for limit in (1.0, 2.0):
        service.memory_limit = limit
        world.step()
        text = act(world, "check_gc_pressure", "order-api", {}).text
        ticks.append(float(re.findall(r"full in about ([\d.]+) min", text)[0]))
    assert ticks[1] > 2 * ticks[0]


@pytest.mark.parametrize("lever", ["leak", "blocked", "slots"])
def test_a_thread_dump_and_the_runbook_agree_on_what_is_blocked(lever: str) -> None:
    world, _ = with_lever("order-api", lever, 0.02)
    dump = act(world, "thread_dump", "order-api", {}).text
    restart = act(world, "restart_thread_pool", "order-api", {}).text
    assert ("none blocked" in dump) == ("no thread or connection blocked" in restart)
    assert "stuck" not in dump + restart


def test_a_cold_cache_is_shown_with_the_stored_data_and_warmed_by_halves() -> None:
    world, service = with_lever("cart-cache", "cold_cache", 0.2)
    assert "cold after a restart" in act(world, "inspect_consensus_state", "cart-cache", {}).text
    said = [act(world, "enable_cache_warming", "cart-cache", {}).text for _ in range(3)]
    assert ["half of the missing" in text for text in said] == [True, True, False]
    assert "all other keys" in said[-1]
    assert "cold_cache" not in service.levers


def test_a_client_that_is_no_customer_is_split_from_those_that_fail_too() -> None:
    world, service = with_lever("order-api", "errors.bulk", 0.5)
    share = by_status(service)["500"]
    world.set_lever(service, "meter", 0.5)
    world.step()
    text = act(world, "get_metrics_detail", "order-api", {}).text
    (client, fails), *others = re.findall(r"([\w-]+) (\d+)%", by_client(text))
    assert client not in world.by_name
    assert int(fails) > 80
    assert others == [("service-mesh", f"{100 * share:.0f}")]
    assert "load 1.0x usual" in text, "it asks as much on any day"
    asks = service.stranger[0] / service.load
    whole = (int(fails) / 100 * asks + share) / (1 + asks)
    assert by_status(service)["500"] == pytest.approx(whole, abs=0.03)


def test_a_client_that_is_no_customer_is_all_that_asks_where_breakers_are_open() -> None:
    world, service = with_lever("order-api", "bots", 0.34)
    for call in service.callers:
        call.breaker = True
    course(world, 2)
    text = act(world, "get_metrics_detail", "order-api", {}).text
    (own,) = re.findall(r"own failures: 403 (\d+)%", text)
    (client, fails), *_ = re.findall(r"([\w-]+) (\d+)%", by_client(text))
    assert client not in world.by_name
    assert own == fails
    assert "service-mesh" not in text, "what does not ask has no share"
    (load,) = re.findall(r"load ([\d.]+)x usual", text)
    assert float(load) == pytest.approx(0.34 / (int(fails) / 100), abs=0.06)


def test_cpu_and_what_it_sheds_are_split_by_zone() -> None:
    world, _ = with_lever("order-api", "neighbour", 0.85)
    text = act(world, "get_metrics_detail", "order-api", {}).text
    a, b = map(int, re.findall(r"\(zone a (\d+)%, zone b (\d+)%\)", text)[0])
    assert a < 60 < b == 100
    assert re.search(r"By zone [^:]*: b \d+%, a 0%", text)


def test_shares_of_a_zone_that_gets_no_requests_are_not_told() -> None:
    world, service = with_lever("order-api", "zone_fails", 0.6)
    world.set_lever(service, "refuse.feed", 0.5)
    assert "By zone" in act(world, "get_metrics_detail", "order-api", {}).text
    service.staged.add("errors.bulk")
    service.build = Release(world.tick, "2", "1", (), staged=True)
    world.set_lever(service, "errors.bulk", 0.5)
    assert re.search(
        r"By version [^:]*: 2 \d+%", act(world, "get_metrics_detail", "order-api", {}).text
    )
    act(world, "traffic_shift", "order-api", {})
    course(world, 3)
    text = act(world, "get_metrics_detail", "order-api", {}).text
    assert "403" in text
    assert not re.search(r"By zone [^:]*: .*b \d|By version [^:]*: .*2 \d", text)


def test_a_canary_that_is_taken_away_is_shown_wherever_it_was() -> None:
    play = Play(find({"split": "train", "index": 305}))
    (name,) = [service for service, cause in play.task.roots if cause == "canary"]
    for look in ("inspect_commit_diff", "inspect_cluster_topology"):
        assert "canary pods run" in act(play.world, look, name, {}).text
    play.act("rollback_canary", name, {})
    for look in ("inspect_commit_diff", "inspect_cluster_topology"):
        text = act(play.world, look, name, {}).text
        assert "canary rolled back" in text
        assert "canary pods run" not in text


def test_workers_that_wait_for_a_slow_callee_are_no_pool_that_is_too_small() -> None:
    world = a_world()
    service = world.by_name["order-api"]
    service.lat = 20 * service.usual_lat
    waiting = act(world, "thread_dump", "order-api", {}).text
    assert waiting.startswith("200 of 200 busy, requests wait")
    assert " of 200 busy; none blocked" in act(world, "thread_dump", "order-db", {}).text
    assert "is full" not in waiting
    small, _ = with_lever("order-api", "slots", 0.03)
    assert "worker pool is full: 6 of 6 busy" in act(small, "thread_dump", "order-api", {}).text


def test_parts_of_a_heap_are_no_more_than_the_whole() -> None:
    world, service = with_lever("order-api", "heap.bulk", 1.5)
    for lever in ("grow.feed", "leak"):
        world.set_lever(service, lever, 0.02)
    course(world, 3)
    text = act(world, "check_gc_pressure", "order-api", {}).text
    fill, whole = map(int, re.findall(r"memory (\d+)% of (\d+) MB", text)[0])
    parts = sum(map(int, re.findall(r"\+(\d+) MB", text)))
    assert 0 < parts <= (fill / 100 - service.memory) * whole + 1


def test_what_fills_a_heap_has_a_name_where_no_release_did_it() -> None:
    for value, ends in ((0.2, "bounded at "), (6.0, "full in about")):
        world, _ = with_lever("order-api", "fill.feed", value)
        assert ends in act(world, "check_gc_pressure", "order-api", {}).text
    world, _ = with_lever("order-api", "fill", 0.3)
    assert "the largest tenant +" in act(world, "check_gc_pressure", "order-api", {}).text
    world.by_name["order-api"].memory = 0.8
    world.step()
    assert "data of the largest tenant" in str(lines(world, world.by_name["order-api"]))


def test_a_kill_stands_in_the_log_where_it_happened() -> None:
    world, service = with_lever("order-api", "heap.bulk", 3.0)
    while service.killed is None or world.tick - service.killed < 2:
        world.step()
    (line,) = [each for each in lines(world, service) if "OOMKilled" in each]
    assert line.startswith(world.clock(service.killed))
    found = lines(world, service)
    times = [60 * int(each[3:5]) + int(each[6:8]) for each in found]
    assert times == sorted(times)


def test_shares_of_hardly_any_requests_are_told_as_such() -> None:
    world, service = with_lever("cart-api", "errors.bulk", 0.9)
    assert re.search(r"cart-api \w+ \(5xx", situation_of(world))
    for call in service.callers:
        call.breaker = True
    course(world, 2)
    assert "cart-api critical (hardly any requests, 54% fail)" in situation_of(world)
    text = act(world, "get_metrics_detail", "cart-api", {}).text
    assert re.search(r"own failures: [^;.]*, of hardly any requests", text)


def test_a_service_whose_callers_give_up_first_says_so() -> None:
    world, _ = with_lever("order-db", "blocked", 0.9)
    world.by_name["order-db"].lat = 1.0
    world.by_name["order-db"].callers[0].late = 0.9
    text = act(world, "get_metrics_detail", "order-db", {}).text
    assert "own failures: none, callers time out first" in text


def test_retries_that_add_no_load_are_said_to_add_none() -> None:
    said = []
    for lever in ("tries.order-db", "errors.bulk"):
        world, _ = with_lever("order-api", lever, 3.0 if "." in lever[:6] else 0.2)
        said.append(act(world, "disable_retries", "order-api", {}).text)
    assert ["added no load" in text for text in said] == [False, True]


def test_threads_are_busy_where_requests_wait() -> None:
    world, service = with_lever("order-api", "cpu.bulk", 12.0)
    assert service.now.shed > 0
    assert act(world, "thread_dump", "order-api", {}).text.startswith("200 of 200 busy, ")
    assert " of 200 busy; none blocked" in act(world, "thread_dump", "order-db", {}).text


def test_a_heap_that_stops_below_its_limit_is_not_said_to_fill_up() -> None:
    for value, ends in ((0.2, "bounded at "), (6.0, "full in about")):
        world, _ = with_lever("order-api", "fill.feed", value)
        assert ends in act(world, "check_gc_pressure", "order-api", {}).text


def test_a_busy_pod_is_one_of_the_services_own() -> None:
    world, service = with_lever("order-api", "hot.bulk", 0.5)
    service.pods = 4
    text = act(world, "inspect_cluster_topology", "order-api", {}).text
    pod = int(re.findall(r"pod (\d+) gets more than its share", text)[0])
    assert 1 <= pod <= service.pods
    assert all(int(share) <= 100 for share in re.findall(r"(\d+)%", text))


def test_what_callers_give_up_on_shows_at_the_callee() -> None:
    world, _ = with_lever("order-db", "cpu.bulk", 12.0)
    text = act(world, "get_metrics_detail", "order-db", {}).text
    seen = re.findall(r"Seen by order-api: (.*timed out after .*)", text)
    assert seen
    assert seen[0].rstrip(".") in act(world, "trace_dependencies", "order-db", {}).text


def test_looks_that_find_nothing_say_so_alike() -> None:
    world = a_world()
    for look in ("inspect_cluster_topology", "inspect_network_policy", "inspect_consensus_state"):
        text = act(world, look, "order-api", {}).text
        assert text.startswith("order-api: nothing unusual. Looked at: ")


@pytest.mark.parametrize("drained", [False, True])
def test_a_rate_limit_fails_a_feature_as_often_as_it_is_reached(drained: bool) -> None:
    world, service = with_lever("order-api", "limit.bulk", 0.3)
    if drained:  # hardly anybody asks, and the limit is not reached
        world.set_lever(world.by_name["checkout-api"], "denied", 0.9)
        course(world, 2)
    text = act(world, "get_metrics_detail", "order-api", {}).text
    found = re.search(r"By feature [^:]*: bulk (\d+)%", text)
    share = int(found[1]) / 100 if found else 0.0
    assert service.features["bulk"] * share == pytest.approx(
        by_status(service).get("429", 0.0), abs=0.01
    )
    assert (found is None) == drained
