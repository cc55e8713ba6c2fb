"""Evidence: figures that fit the world, and two causes that only an experiment tells apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firewatch_env.actions import ACTIONS, act
from firewatch_env.engine.levers import LEVERS
from firewatch_env.engine.service import Release, Setting
from firewatch_env.engine.world import Circumstance, World
from firewatch_env.evidence.alerts import fire
from firewatch_env.evidence.observation import services_view
from firewatch_env.tasks.book import named_task
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import open_world
from tests.firewatch.test_engine import a_world, course


def looks(world: World) -> list[str]:
    """Every look at every service, and everything that is shown without one."""
    told = [str(services_view(world, {})), str(fire(world, {}))]
    for name, action in ACTIONS.items():
        if action.sort == "investigation":
            for service in world.by_name:
                outcome = act(world, name, service, {})
                told.append(f"{name} {service} {outcome.text} {outcome.lines}")
    return told


def a_pair(first: str, second: str, share: float, whole: float) -> list[World]:
    """One world with a fault in zone b alone, one with the same share everywhere."""
    task = named_task(NAMED["task_medium_corrupted_external_dep"])
    fault = task.circumstances[0]
    return [
        open_world(
            replace(
                task,
                circumstances=(
                    Circumstance(fault.tick, fault.service, lever, value),
                    *task.circumstances[1:],
                ),
            )
        )
        for lever, value in ((first, share), (second, whole))
    ]


def test_two_causes_look_alike_until_a_zone_is_drained() -> None:
    zone, everywhere = a_pair("zone_fails", "bad_process", 0.75, 0.3)
    assert looks(zone) == looks(everywhere)
    root = named_task(NAMED["task_medium_corrupted_external_dep"]).circumstances[0].service
    for world in (zone, everywhere):
        act(world, "traffic_shift", root, {})
    assert course(zone, 4)[-1] == 0.0
    assert course(everywhere, 4)[-1] > 0.0


def staged_and_everywhere(family: str, value: float, part: float) -> list[World]:
    """The same share of requests concerned: by a build in zone b, and by a revision everywhere."""
    worlds = []
    for after, staged in ((value, True), (part, False)):
        world = a_world()
        lever = f"{family}.bulk"
        made = Setting(lever, LEVERS[family].usual, after, "bulk.v", "1", "4")
        which = "build" if staged else "revision"
        world.release(world.by_name["order-api"], which, Release(world.tick, (made,), staged))
        world.run(4)
        worlds.append(world)
    return worlds


@pytest.mark.parametrize(
    ("family", "value", "part"),
    [("errors", 0.75, 0.3), ("refuse", 0.75, 0.3), ("path", 0.75, 0.3), ("cpu", 11.0, 5.0)],
)
def test_a_build_in_one_zone_looks_as_a_revision_everywhere_until_the_zone_is_drained(
    family: str, value: float, part: float
) -> None:
    worlds = staged_and_everywhere(family, value, part)
    for name in ("fetch_logs", "trace_dependencies", "strace_process", "inspect_cluster_topology"):
        staged, everywhere = (act(world, name, "order-api", {}) for world in worlds)
        assert (staged.text, staged.lines) == (everywhere.text, everywhere.lines)
    assert services_view(worlds[0], {}) == services_view(worlds[1], {})
    for world in worlds:
        act(world, "traffic_shift", "order-api", {})
    assert course(worlds[0], 6)[-1] == 0.0
    assert course(worlds[1], 6)[-1] > 0.0


def test_a_diff_says_which_build_runs_in_one_zone_only() -> None:
    staged, everywhere = staged_and_everywhere("errors", 0.75, 0.3)
    assert "build 2m in b bulk.v 1→4" in act(staged, "inspect_commit_diff", "order-api", {}).text
    assert "rev 2m bulk.v 1→4" in act(everywhere, "inspect_commit_diff", "order-api", {}).text


def test_what_concerns_no_customer_is_told_in_a_culprits_words() -> None:
    for decoy, fault in (("bots", "refuse"), ("meter", "errors")):
        told = []
        for lever in (decoy, fault):
            world = a_world()
            world.set_lever(world.by_name["order-api"], f"{lever}.bulk", 0.4)
            world.run(3)
            told.append(act(world, "fetch_logs", "order-api", {}).lines)
        assert told[0] == told[1]


def test_a_heap_is_told_by_feature_and_only_what_grows_has_a_slope() -> None:
    world = a_world()
    service = world.by_name["order-api"]
    world.set_lever(service, "heap.bulk", 0.4)
    world.set_lever(service, "grow.quote", 0.05)
    world.run(4)
    text = act(world, "check_gc_pressure", "order-api", {}).text
    assert "quote +0.06 (+0.015), bulk +0.24;" in text


def test_no_tool_says_whether_calls_are_lost_in_one_zone_or_everywhere() -> None:
    zone, everywhere = a_pair("zone_lost", "stale_instances", 0.75, 0.3)
    root = named_task(NAMED["task_medium_corrupted_external_dep"]).circumstances[0].service
    for name in ("inspect_network_policy", "inspect_cluster_topology", "inspect_mtls_status"):
        assert act(zone, name, root, {}).text == act(everywhere, name, root, {}).text
    for world in (zone, everywhere):
        act(world, "traffic_shift", root, {})
    assert course(zone, 4)[-1] == 0.0
    assert course(everywhere, 4)[-1] > 0.0


def test_a_crawler_brings_a_page_and_lets_no_customer_down() -> None:
    world = a_world()
    world.set_lever(world.by_name["storefront-api"], "bots", 0.95)
    assert course(world, 4) == [0.0] * 4
    assert [a["alertname"] for a in fire(world, {})] == ["ServiceDown"]


def test_alerts_have_the_keys_of_the_contract_and_remember_when_they_fired() -> None:
    world = a_world()
    world.set_lever(world.by_name["order-db"], "errors.bulk", 0.8)
    world.run(2)
    since: dict[str, int] = {}
    first = fire(world, since)
    world.run(3)
    later = fire(world, since)
    assert set(first[0]) == {
        "alert_id", "alertname", "service_name", "severity", "description", "metric_name",
        "metric_value", "threshold_value", "fired_at_tick",
    }  # fmt: skip
    assert {a["alert_id"]: a["fired_at_tick"] for a in first}.items() <= {
        a["alert_id"]: a["fired_at_tick"] for a in later
    }.items()
    assert first[0]["severity"] == "page"


def test_services_without_alert_rules_fire_nothing() -> None:
    world = a_world()
    service = world.by_name["order-db"]
    service.alerted = False
    world.set_lever(service, "errors.bulk", 0.8)
    world.run(3)
    assert "order-db" not in {a["service_name"] for a in fire(world, {})}


def test_a_proxy_passes_failures_on_without_looking_bad_itself() -> None:
    world = a_world()
    world.set_lever(world.by_name["order-api"], "errors.bulk", 0.9)
    world.run(3)
    views = services_view(world, {})
    assert views["order-api"]["http_server_error_rate"] > 0.3
    assert views["service-mesh"]["http_server_error_rate"] == 0.0
    assert views["service-mesh"]["status"] == "healthy"
    assert views["checkout-api"]["http_server_error_rate"] > 0.3


def test_refusals_and_lost_calls_show_outside_and_not_in_the_servers_own_errors() -> None:
    for lever in ("refuse.bulk", "path.bulk"):
        world = a_world()
        world.set_lever(world.by_name["order-api"], lever, 0.9)
        world.run(3)
        view = services_view(world, {})["order-api"]
        assert view["http_server_error_rate"] < 0.001
        assert view["status"] in ("degraded", "critical")


def test_the_first_hundred_characters_of_a_call_trace_name_the_worst_callee() -> None:
    world = a_world()
    world.set_lever(world.by_name["order-db"], "zone_lost", 0.9)
    world.run(3)
    text = act(world, "trace_dependencies", "order-api", {}).text[:100]
    assert text.startswith("order-db fail 0.")
    assert " lost 0.36 " in text
