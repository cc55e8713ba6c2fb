"""What a player is told agrees with itself and with the world."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from firewatch_env.actions import act
from firewatch_env.engine.service import Release, Service
from firewatch_env.engine.world import World
from firewatch_env.evidence.alerts import fire
from firewatch_env.evidence.logs import lines
from firewatch_env.evidence.meters import by_status, read_all, ways
from firewatch_env.messages import situation
from firewatch_env.play import Play
from firewatch_env.policies.reading import MENDS, change_log
from firewatch_env.tasks.book import find
from firewatch_env.tasks.changes import guilty
from firewatch_env.tasks.named import NAMED
from openenv_kit.bitstream import BitStream
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


def test_a_share_of_failures_is_the_same_wherever_it_is_told(plays: list[Play]) -> None:
    compared = 0
    for play in plays:
        for service in play.world.services:
            statuses, now = by_status(service), play.meters[service.name]
            detail = act(play.world, "get_metrics_detail", service.name, {}).text
            assert all(f"{how} {share:.0%}" in detail for how, share in statuses.items())
            whole = sum(statuses.values())
            line = re.search(rf"{service.name} \w+ \(([^)]*)\)", play.message)
            if not service.masks and line and (shares := re.findall(_FAILS, line[1])):
                compared += 1
                assert sum(map(int, shares)) / 100 == pytest.approx(whole, abs=0.025)
                assert now.own * (1 - service.now.lost) <= whole + 0.01
            for call in service.calls:
                assert sum(ways(call).values()) == pytest.approx(call.fail, abs=1e-6)
                assert min(ways(call).values()) > -1e-9
    assert compared > 100


_FAILS = r"(?:5xx|403|429|no connection) (\d+)%"


def test_how_bad_a_service_is_agrees_with_its_alerts_and_is_told_with_a_figure(
    plays: list[Play],
) -> None:
    seen = set()
    for play in plays:
        unwell = play.message.rpartition("Unwell: ")[2].rstrip(".")
        for name, severity, why in re.findall(r"([\w-]+) (\w+) \(([^)]*)\)", unwell):
            alerts = [a for a in play.alerts if a["service_name"] == name]
            alerts = [a for a in alerts if a["metric_name"] != "customer_error_ratio"]
            worst = {each["severity"] for each in alerts}
            seen.add(severity)
            assert re.search(r"\d|breaker", why)
            assert severity in ("down", "critical") or worst <= {"warning"}
            assert severity != "warning" or sum(map(int, re.findall(_FAILS, why))) <= 51
        assert unwell == "none" or all("(" in each for each in unwell.split("; "))
    assert seen == {"down", "critical", "warning"}


def situation_of(world: World) -> str:
    return situation(world, read_all(world), {s.name: s.now.memory for s in world.services}, 90, 20)


def test_a_service_without_enough_pods_is_listed_though_nothing_fails() -> None:
    world, _ = with_lever("order-api", "environment", 0.5)
    assert re.search(r"order-api warning \(\d/\d+ pods ready", situation_of(world))


def test_an_alert_tells_since_when_it_has_fired_without_a_break() -> None:
    world, service = with_lever("cart-api", "errors", 0.3)
    since: dict[str, int] = {}

    def fired() -> list[int]:
        course(world, 1)
        alerts = fire(world, since, read_all(world))
        mine = [a for a in alerts if a["alert_id"] == "HighErrorRate-cart-api-own"]
        return [alert["fired_at_tick"] for alert in mine]

    (first,) = fired()
    assert first == world.tick
    assert fired() == [first]
    world.set_lever(service, "errors", 0.0)
    assert fired() == []
    world.set_lever(service, "errors", 0.3)
    assert fired() == [world.tick] != [first]


def test_memory_near_its_limit_is_alerted_first_and_whoever_owns_the_service() -> None:
    world, service = with_lever("order-api", "heap.bulk", 0.3)
    steady = world.by_name["cart-api"]
    steady.memory, service.memory = 0.72, 0.75
    service.alerted = False
    world.step()
    alerts = fire(world, {}, read_all(world))
    assert [(a["service_name"], a["severity"]) for a in alerts] == [
        ("order-api", "critical"), ("cart-api", "warning"),
    ]  # fmt: skip


def test_timeouts_of_callees_are_told_apart_from_their_errors() -> None:
    world, service = with_lever("order-api", "timeout.order-db", 0.004)
    assert set(by_status(service)) == {"callees' timeouts"}
    world.set_lever(world.by_name["order-db"], "errors.bulk", 0.4)
    world.set_lever(service, "timeout.order-db", 0.018)
    course(world, 2)
    assert set(by_status(service)) == {"callees' timeouts", "callees' errors"}
    text = act(world, "trace_dependencies", "order-api", {}).text
    assert re.search(r"order-db: \d+% of calls fail \(.*timed out after \d+ ms \d+%", text)


def test_threads_are_busy_where_requests_wait() -> None:
    world, service = with_lever("order-api", "cpu.bulk", 12.0)
    assert service.now.shed > 0
    assert act(world, "thread_dump", "order-api", {}).text.startswith("200 of 200 busy, ")
    assert " of 200 busy; none blocked" in act(world, "thread_dump", "order-db", {}).text


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
    assert "full in about 1 min" in act(world, "check_gc_pressure", "order-api", {}).text


@pytest.mark.parametrize("value", [0.3, 0.6, 1.0])
def test_a_log_holds_as_many_failures_as_the_requests(value: float) -> None:
    world, service = with_lever("order-api", "leaders", value)
    found = lines(world, service)
    share = sum("WriteConflict" in line for line in found) / len(found)
    assert share == pytest.approx(value, abs=0.21)
    times = [60 * int(line[3:5]) + int(line[6:8]) for line in found]
    gaps = {later - earlier for earlier, later in pairwise(times)}
    assert len(gaps) > 1
    assert min(gaps) >= 0


def test_a_routine_line_stays_what_and_when_it_was() -> None:
    world = a_world()
    first = lines(world, world.by_name["order-db"])
    world.step()
    assert lines(world, world.by_name["order-db"])[:-1] == first[1:]


def test_a_configuration_mends_by_a_setting_and_a_database_ranks_nothing(
    plays: list[Play],
) -> None:
    fixes = set()
    for play in plays:
        for service in play.world.services:
            text = act(play.world, "inspect_commit_diff", service.name, {}).text
            for entry in change_log(text):
                fixed = [each for each in entry.texts if re.search(MENDS, each)]
                fixes |= {(entry.which, "→" in each) for each in fixed}
    assert fixes == {("rollback_deploy", False), ("revert_config", True)}
    for service, ranks in (("order-api", True), ("order-db", False), ("edge-mesh", False)):
        made = guilty(service, "cpu.bulk", 8.0, "build", BitStream("words"), "feed")
        assert ("ranked" in made.settings[0].text) == ranks


def test_a_raised_limit_gives_a_growing_heap_more_time() -> None:
    world, service = with_lever("order-api", "grow.bulk", 0.02)
    ticks = []
    for limit in (1.0, 2.0):
        service.memory_limit = limit
        world.step()
        text = act(world, "check_gc_pressure", "order-api", {}).text
        ticks.append(float(re.findall(r"full in about ([\d.]+) min", text)[0]))
    assert ticks[1] > 2 * ticks[0]


def test_a_heap_that_stops_below_its_limit_is_not_said_to_fill_up() -> None:
    for value, ends in ((0.2, "bounded at "), (6.0, "full in about")):
        world, _ = with_lever("order-api", "fill.feed", value)
        assert ends in act(world, "check_gc_pressure", "order-api", {}).text


@pytest.mark.parametrize("lever", ["leak", "blocked", "slots.feed"])
def test_a_thread_dump_and_the_runbook_agree_on_what_is_blocked(lever: str) -> None:
    world, _ = with_lever("order-api", lever, 0.02)
    dump = act(world, "thread_dump", "order-api", {}).text
    restart = act(world, "restart_thread_pool", "order-api", {}).text
    assert ("none blocked" in dump) == ("no thread or connection blocked" in restart)
    assert "stuck" not in dump + restart


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
    assert "all other keys" in said[-1]
    assert "cold_cache" not in service.levers


def test_what_is_routine_in_logs_and_who_is_no_customer_vary(plays: list[Play]) -> None:
    first = [lines(play.world, play.world.entries[0])[0][9:] for play in plays]
    assert len(set(first)) > 30
    assert len(set(_strangers(plays))) >= 5


def _strangers(plays: list[Play]) -> Iterator[str]:
    for play in plays:
        for service in play.world.services:
            text = act(play.world, "get_metrics_detail", service.name, {}).text
            clients = re.findall(r"([\w-]+) \d+%", _by_client(text))
            yield from (each for each in clients if each not in play.world.by_name)


def _by_client(text: str) -> str:
    found = re.search(r"By client [^:]*: ([^.]*)", text)
    return found[1] if found else ""


def test_the_last_message_names_what_was_not_needed() -> None:
    play = Play(find({"task_id": "task_easy_alert_fatigue"}))
    entry = play.task.entry
    play.act("restart_service", entry, {})
    play.act("force_ntp_sync", entry, {})
    play.act("declare_resolved", None, {})
    named = f"restart_service {entry} (tick 1); force_ntp_sync {entry} (tick 2, nothing to do)."
    assert play.message.endswith(f"customers no worse off without: {named}")


def test_a_client_that_is_no_customer_is_split_from_those_that_fail_too() -> None:
    world, service = with_lever("order-api", "errors.bulk", 0.5)
    share = by_status(service)["500"]
    world.set_lever(service, "meter", 0.5)
    world.step()
    text = act(world, "get_metrics_detail", "order-api", {}).text
    (client, fails), *others = re.findall(r"([\w-]+) (\d+)%", _by_client(text))
    assert client not in world.by_name
    assert int(fails) > 80
    assert others == [("service-mesh", f"{100 * share:.0f}")]
    load = float(re.findall(r"load ([\d.]+)x usual", text)[0])
    whole = (int(fails) / 100 * (load - 1) + share) / load
    assert by_status(service)["500"] == pytest.approx(whole, abs=0.03)


def test_no_service_fails_more_than_the_worst_of_its_clients(plays: list[Play]) -> None:
    seen, drawn = 0, [find({"split": "validation", "index": index}) for index in range(150)]
    for play in [*plays, *(Play(task, graded=False) for task in drawn)]:
        for service in play.world.services:
            text = act(play.world, "get_metrics_detail", service.name, {}).text
            shares = [int(share) for share in re.findall(r" (\d+)%", _by_client(text))]
            own = re.findall(r"(\d+)%", text.partition(".")[0].partition(";")[0])
            seen += len(shares) > 1
            assert not shares or sum(map(int, own)) <= max(shares) + 1, text
    assert seen > 20


def test_a_client_that_is_no_customer_is_all_that_asks_where_breakers_are_open() -> None:
    world, service = with_lever("order-api", "bots", 0.34)
    for call in service.callers:
        call.breaker = True
    course(world, 2)
    text = act(world, "get_metrics_detail", "order-api", {}).text
    (own,) = re.findall(r"own failures: 403 (\d+)%", text)
    (client, fails), *_ = re.findall(r"([\w-]+) (\d+)%", _by_client(text))
    assert client not in world.by_name
    assert own == fails
    assert "service-mesh" not in text, "what does not ask has no share"
    (load,) = re.findall(r"load ([\d.]+)x usual", text)
    assert float(load) == pytest.approx(0.34 / (int(fails) / 100 - 0.34), abs=0.06)


def test_a_proxy_that_passes_failures_on_is_listed_with_their_share() -> None:
    world, _ = with_lever("order-api", "errors.bulk", 0.9)
    mesh = world.by_name["service-mesh"]
    share = by_status(mesh)["callees' errors"]
    assert f"service-mesh warning (passed on from callees {share:.0%}" in situation_of(world)


def test_what_callers_give_up_on_shows_at_the_callee() -> None:
    world, _ = with_lever("order-db", "cpu.bulk", 12.0)
    text = act(world, "get_metrics_detail", "order-db", {}).text
    seen = re.findall(r"Seen by order-api: (.*timed out after .*)", text)
    assert seen
    assert seen[0].rstrip(".") in act(world, "trace_dependencies", "order-db", {}).text


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
    act(world, "rebalance_az_traffic", "order-api", {})
    course(world, 3)
    text = act(world, "get_metrics_detail", "order-api", {}).text
    assert "403" in text
    assert not re.search(r"By zone [^:]*: .*b \d|By version [^:]*: .*2 \d", text)


def test_what_an_action_that_finds_nothing_costs_is_what_it_says() -> None:
    play = Play(find({"task_id": "task_easy_alert_fatigue"}))
    entry = play.task.entry
    for action in ("force_ntp_sync", "revert_config", "revert_config"):
        play.act(action, entry, {})
    free = [each["feedback_string"].endswith("not counted") for each in play.history]
    assert free == [False, False, True]
    play.act("declare_resolved", None, {})
    assert play.grade is not None
    assert play.grade.unneeded == 2


def test_an_alert_follows_what_it_is_about_and_a_change_stands_before(plays: list[Play]) -> None:
    later = 0
    for play in plays:
        for service in play.world.services:
            text = act(play.world, "get_metrics_detail", service.name, {}).text
            points = re.findall(r"(\d\d:\d\d) (\[|\d)", text.partition("Own failures: ")[2])
            for one, other in pairwise(points):
                assert one[0] != other[0] or (one[1], other[1]) != ("0", "[")
                assert one[0] != other[0] or one[1] == "[" or other[1] != "["
            fired = re.findall(r"over 5% since (\d\d:\d\d)", text)
            released = [play.world.clock(put.release.tick) for put in play.task.puts]
            later += bool(fired) and fired[0] not in released
    assert later > 40


def test_a_canary_that_is_taken_away_is_shown_wherever_it_was() -> None:
    play = Play(find({"split": "train", "index": 117}))
    (name,) = [service for service, cause in play.task.roots if cause == "canary"]
    for look in ("inspect_commit_diff", "inspect_cluster_topology"):
        assert "canary pods run" in act(play.world, look, name, {}).text
    play.act("rollback_canary", name, {})
    for look in ("inspect_commit_diff", "inspect_cluster_topology"):
        text = act(play.world, look, name, {}).text
        assert "canary rolled back" in text
        assert "canary pods run" not in text


def test_workers_that_wait_for_a_slow_callee_are_no_pool_of_a_feature() -> None:
    world = a_world()
    service = world.by_name["order-api"]
    service.lat = 20 * service.usual_lat
    waiting = act(world, "thread_dump", "order-api", {}).text
    assert waiting.startswith("200 of 200 busy: bulk ")
    assert "pool full" not in waiting
    small, _ = with_lever("order-api", "slots.bulk", 0.015)
    assert "pool full: bulk 3 of 3" in act(small, "thread_dump", "order-api", {}).text


def test_memory_that_grew_is_told_with_what_it_was() -> None:
    world, service = with_lever("order-api", "heap.bulk", 0.3)
    then = {each.name: each.now.memory for each in world.services}
    service.memory += 0.2
    world.step()
    text = situation(world, read_all(world), then, 90, 20)
    assert f"memory {then['order-api']:.0%} → {service.now.memory:.0%}" in text


def test_more_changes_than_are_weighed_are_not_named_one_by_one() -> None:
    play = Play(find({"task_id": "task_easy_alert_fatigue"}))
    for number in range(13):
        play.act("scale_replicas", play.task.entry, {"replicas": 4 + number % 2})
    play.act("declare_resolved", None, {})
    assert play.message.endswith("no worse off without: more than 12 changes all count as such.")


def test_parts_of_a_heap_are_no_more_than_the_whole() -> None:
    world, service = with_lever("order-api", "heap.bulk", 1.5)
    for lever in ("grow.feed", "leak"):
        world.set_lever(service, lever, 0.02)
    course(world, 3)
    text = act(world, "check_gc_pressure", "order-api", {}).text
    fill, whole = map(int, re.findall(r"heap (\d+)% of (\d+) MB", text)[0])
    parts = sum(map(int, re.findall(r"\+(\d+) MB", text)))
    assert 0 < parts <= (fill / 100 - service.memory) * whole + 1


def test_what_fills_a_heap_has_a_name_where_no_release_did_it() -> None:
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
    assert "cart-api warning (hardly any requests, 54% fail)" in situation_of(world)
    text = act(world, "get_metrics_detail", "cart-api", {}).text
    assert re.search(r"own failures: [^;.]*, of hardly any requests", text)


def test_a_service_whose_callers_give_up_first_says_so() -> None:
    world, _ = with_lever("order-db", "blocked", 0.9)
    world.by_name["order-db"].lat = 1.0
    world.by_name["order-db"].callers[0].late = 0.9
    text = act(world, "get_metrics_detail", "order-db", {}).text
    assert "own failures: none, callers give up first" in text


def test_looks_that_find_nothing_say_so_alike() -> None:
    world = a_world()
    for look in ("inspect_cluster_topology", "inspect_network_policy", "inspect_consensus_state"):
        text = act(world, look, "order-api", {}).text
        assert text.startswith("order-api: nothing unusual. Looked at: ")


def test_retries_that_add_no_load_are_said_to_add_none() -> None:
    said = []
    for lever in ("tries.order-db", "errors.bulk"):
        world, _ = with_lever("order-api", lever, 3.0 if "." in lever[:6] else 0.2)
        said.append(act(world, "disable_retries", "order-api", {}).text)
    assert ["added no load" in text for text in said] == [False, True]


def test_harm_counts_on_when_the_budget_is_used_up() -> None:
    play = Play(find({"split": "validation", "index": 0}))
    while play.budget:
        play.act("escalate", None, {})
    assert "budget used up, harm counts on" in play.message
