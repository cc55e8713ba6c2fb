"""Evidence: figures that fit the world, and two causes that only an experiment tells apart."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firewatch_env.actions import act
from firewatch_env.engine.levers import LEVERS
from firewatch_env.engine.motion import EASE, LASTS, SHIFT, ZONE_B, Wave
from firewatch_env.engine.randomness import BitStream
from firewatch_env.engine.service import Release, Setting
from firewatch_env.engine.world import World, build
from firewatch_env.evidence.alerts import fire
from firewatch_env.evidence.measuring import (
    ERROR,
    all_factors,
    factors,
    four_digits,
    measured,
    noise,
    share,
)
from firewatch_env.evidence.meters import read
from firewatch_env.evidence.observation import services_view
from tests.firewatch.test_engine import a_world, course

ROOT = "order-api"
# family, its value where a build in zone b has it off, a look, and what of the answer is measured
FIGURES = [
    ("errors", 0.75, "fetch_logs", r"Exception on bulk: ([\d.]+)", 0.0),
    ("refuse", 0.75, "fetch_logs", r"403 on bulk: ([\d.]+)", 0.0),
    ("cpu", 11.0, "strace_process", r"CPU/req ([\d.]+)x", 1.0),
    ("grow", 0.1, "check_gc_pressure", r"([+-][\d.]+) a tick", 0.0),
]


BY_METERS = 2 * ERROR / (1 - ERROR)  # how far two readings of one figure may be apart
ROUNDED = 0.04  # as far again for what is told in two digits


def looked(world: World, look: str, pattern: str) -> float:
    """A figure of the root, now."""
    outcome = act(world, look, ROOT, {})
    return float(re.findall(pattern, " ".join((outcome.text, *outcome.lines)))[-1])


def readings(world: World, look: str, pattern: str, usual: float) -> list[float]:
    """A figure of the root, tick by tick."""
    found = []
    for _ in range(8):
        world.step()
        found.append(looked(world, look, pattern) - usual)
    return found


def about(value: float) -> Any:
    """A figure that a meter may show, told in two digits."""
    return pytest.approx(value, rel=ERROR, abs=0.006)


def spread(values: list[float]) -> float:
    return max(values) / min(values) - 1


def staged_and_everywhere(family: str, value: float, wave: Wave | None = None) -> list[World]:
    """The same share of requests concerned: by a build in zone b, and by a revision everywhere."""
    worlds = []
    usual = LEVERS[family].usual
    for after, staged in ((value, True), (usual + (value - usual) * ZONE_B, False)):
        world = a_world()
        used = None if staged else wave
        made = Setting(f"{family}.bulk", usual, after, "bulk.v", "1", "4", wave=used)
        which = "build" if staged else "revision"
        world.release(world.by_name[ROOT], which, Release(world.tick, (made,), staged))
        worlds.append(world)
    return worlds


@pytest.mark.parametrize(("family", "value", "look", "pattern", "usual"), FIGURES)
def test_what_zone_b_alone_has_off_follows_its_share_of_the_requests(
    family: str, value: float, look: str, pattern: str, usual: float
) -> None:
    staged, everywhere = staged_and_everywhere(family, value)
    found, shares = [], []
    for _ in range(16):
        staged.step()
        found.append(looked(staged, look, pattern) - usual)
        shares.append(looked(staged, "inspect_cluster_topology", r"b gets ([\d.]+) "))
    apart = 2 * BY_METERS + ROUNDED
    assert spread(found) > 2 * apart
    assert spread([each / part for each, part in zip(found, shares, strict=True)]) < apart
    assert spread(readings(everywhere, look, pattern, usual)) < BY_METERS + ROUNDED


def test_a_figure_that_changes_does_not_tell_by_itself() -> None:
    _, everywhere = staged_and_everywhere("errors", 0.75, wave=(10, 3))
    _, _, look, pattern, usual = FIGURES[0]
    assert spread(readings(everywhere, look, pattern, usual)) > 0.3


def test_harm_follows_what_zone_b_gets() -> None:
    staged, everywhere = staged_and_everywhere("errors", 0.75)
    assert spread(course(staged, 12)) > 0.4
    assert spread(course(everywhere, 12)) < 0.05


def test_undoing_a_build_of_zone_b_brings_back_what_it_mended_in_that_zone_alone() -> None:
    found = []
    for staged in (True, False):
        world = a_world()
        made = Setting("errors.bulk", 0.75, 0.0, "bulk.v", "1", "4")
        world.release(world.by_name[ROOT], "build", Release(world.tick, (made,), staged))
        act(world, "rollback_deploy", ROOT, {})
        world.run(EASE)
        _, _, look, pattern, usual = FIGURES[0]
        found.append(readings(world, look, pattern, usual))
        act(world, "rollback_deploy", ROOT, {"undo": True})
        assert course(world, EASE + 1)[-1] == 0.0
    in_b, everywhere = found
    assert spread(everywhere) < BY_METERS + ROUNDED
    assert spread(in_b) > 0.25
    assert max(in_b) < 0.65 * everywhere[0]


def test_state_that_a_fault_has_spoilt_has_a_figure_until_a_restart() -> None:
    world = a_world()
    world.set_lever(world.by_name[ROOT], "bad_process", 0.25)
    world.run(2)
    assert looked(world, "thread_dump", r"spoilt state ([\d.]+);") == about(0.25)
    act(world, "restart_service", ROOT, {})
    world.run(EASE + 1)
    assert "spoilt state 0.00; pools" in act(world, "thread_dump", ROOT, {}).text


def test_a_caches_hits_are_told_beside_the_usual_ones() -> None:
    names = {"web-gateway", "session-api", "session-cache"}
    world = build(names, "web-gateway", BitStream("tests"), -60, 400)
    world.set_lever(world.by_name["session-cache"], "small_cache", 0.5)
    world.run(2)
    told = act(world, "get_metrics_detail", "session-cache", {}).text
    hits = re.search(r" hits ([\d.]+) \(usual 0.92\)$", told)
    assert hits is not None
    assert float(hits[1]) == about(0.46)


def test_a_drain_of_zone_b_ends_what_its_build_does_for_a_while() -> None:
    staged, everywhere = staged_and_everywhere("errors", 0.75)
    for world in (staged, everywhere):
        world.run(3)
        act(world, "traffic_shift", ROOT, {})
    assert course(everywhere, SHIFT + 3)[-1] > 0.0
    assert course(staged, SHIFT + 3)[-1] == 0.0
    assert course(staged, LASTS)[-1] > 0.0


def test_a_heap_that_settles_grows_less_and_less_and_a_leak_does_not() -> None:
    slopes = {}
    for lever in ("settle.bulk", "grow.bulk"):
        world = a_world()
        world.set_lever(world.by_name[ROOT], lever, 0.35 if lever == "settle.bulk" else 0.03)
        slopes[lever] = readings(world, "check_gc_pressure", r"([+-][\d.]+) a tick", 0.0)
    assert all(a > b for a, b in itertools.pairwise(slopes["settle.bulk"]))
    assert 0.0 < spread(slopes["grow.bulk"]) < BY_METERS + 0.01


def test_pods_that_are_all_dead_keep_the_meters_that_they_had() -> None:
    world = a_world()
    service = world.by_name[ROOT]
    world.set_lever(service, "heap.bulk", 2.0)
    world.run(2)
    assert all(part.down for part in service.parts)
    view = services_view(world, {})[ROOT]
    assert view["status"] == "down"
    assert view["process_memory_utilization"] > 0.9


def test_a_diff_says_which_build_runs_in_one_zone_only() -> None:
    staged, everywhere = staged_and_everywhere("errors", 0.75)
    for world in (staged, everywhere):
        world.run(4)
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
    told = re.search(r"quote \+([\d.]+) \(\+([\d.]+)\), bulk \+([\d.]+); limit", text)
    assert told is not None, text
    assert [float(each) for each in told.groups()] == [about(0.06), about(0.015), about(0.24)]


def test_calls_that_are_lost_are_counted_where_nothing_drops_them() -> None:
    world = a_world()
    world.set_lever(world.by_name["order-db"], "stale_instances", 0.3)
    world.run(3)
    told = act(world, "inspect_network_policy", "order-db", {})
    assert re.match(r"calls lost 0\.\d+, of which by policy 0,", told.text)
    assert told.figures["otherwise"] == told.figures["lost"] == pytest.approx(0.3, abs=0.014)
    world.set_lever(world.by_name["order-db"], "denied", 0.3)
    world.run(3)
    told = act(world, "inspect_network_policy", "order-db", {})
    assert (told.figures["by_policy"], told.figures["otherwise"]) == (0.3, 0.0)


def test_what_concerns_every_request_is_written_of_several_features() -> None:
    world = a_world()
    world.set_lever(world.by_name[ROOT], "bad_process", 0.3)
    world.run(3)
    lines = " ".join(act(world, "fetch_logs", ROOT, {}).lines)
    told = re.findall(r"Exception on ([a-z]+): ([\d.]+)", lines)
    assert sorted(feature for feature, _ in told) == ["bulk", "quote"]
    assert [float(part) for _, part in told] == [about(0.3)] * 2


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
    world.set_lever(world.by_name["order-db"], "stale_instances", 0.36)
    world.run(3)
    text = act(world, "trace_dependencies", "order-api", {}).text[:100]
    assert text.startswith("order-db fail 0.")
    lost = re.search(r" lost ([\d.]+) ", text)
    assert lost is not None
    assert float(lost[1]) == about(0.36)


def test_no_meter_is_further_off_than_the_manual_says_and_none_is_off_to_one_side() -> None:
    service = a_world().by_name[ROOT]
    found = []
    for tick in range(400):
        service.clock = tick
        found += [*factors(service), measured(service, "cpu", 2.0) / 2.0]
    assert 1 - ERROR <= min(found) < 1 - 0.9 * ERROR
    assert 1 + 0.9 * ERROR < max(found) <= 1 + ERROR
    assert sum(found) / len(found) == pytest.approx(1.0, abs=0.1 * ERROR)


def test_errors_that_are_found_together_are_those_that_each_service_has() -> None:
    services = a_world().services
    services[0].noise = (1 << 61) - 1
    for tick in range(-30, 30):
        for service in services:
            service.clock = tick
        for found, service in zip(all_factors(services), services, strict=True):
            bits = noise(service.noise, tick)
            shares = [(bits >> 16 * number & 0xFFFF) / 0xFFFF for number in range(4)]
            assert found == tuple(1 + ERROR * (2 * share - 1) for share in shares)
    assert len({factors(service) for service in services}) == len(services)


@example(-0.0)
@given(st.one_of(st.floats(), st.integers(-30_000, 300_000).map(lambda n: n / 20_000)))
def test_four_digits_are_those_of_round(value: float) -> None:
    assert repr(four_digits(value)) == repr(round(value, 4))


def test_a_meter_shows_the_same_to_whoever_looks_at_the_same_tick_and_another_at_the_next() -> None:
    service = a_world().by_name[ROOT]
    here = measured(service, "cpu", 0.5)
    assert measured(service, "cpu", 0.5) == here
    assert measured(service, "memory", 0.5) != here
    assert measured(service, "cpu", 0.5, service.clock + 1) != here
    assert measured(service, "cpu", 0.0) == 0.0
    assert max(share(service, "cpu", 1.0, tick) for tick in range(50)) == 1.0


def test_pods_wait_for_nothing_where_all_are_ready() -> None:
    world = a_world()
    world.set_lever(world.by_name[ROOT], "probes", 0.03)
    world.run(2)
    assert "; wait: none;" in act(world, "inspect_cluster_topology", ROOT, {}).text
    world.set_lever(world.by_name[ROOT], "probes", 0.5)
    world.run(2)
    assert "; wait: answering 0.5;" in act(world, "inspect_cluster_topology", ROOT, {}).text


def test_work_for_callers_that_have_given_up_has_a_figure() -> None:
    world = a_world()
    store = world.by_name["order-db"]
    assert " abandoned 0.00;" in act(world, "strace_process", "order-db", {}).text
    world.set_lever(store, "orphans", 3.0)
    world.set_lever(store, "cpu_limit", 0.2)
    world.run(4)
    world.set_lever(store, "cpu_limit", 1.0)
    world.run(4)
    told = act(world, "strace_process", "order-db", {}).figures
    assert told["abandoned_work"] > 0.5
    assert told["cpu_per_request_ratio"] > 2.0


def test_a_heap_that_has_settled_still_says_what_is_held_by_which_feature() -> None:
    staged, _ = staged_and_everywhere("settle", 0.6)
    staged.run(60)
    for _ in range(20):
        staged.step()
        held = act(staged, "check_gc_pressure", ROOT, {}).figures["above_usual"]["bulk"]
        assert held == pytest.approx(staged.by_name[ROOT].parts[0].fill, rel=2 * ERROR)


def test_a_release_that_was_taken_back_has_no_age() -> None:
    staged, _ = staged_and_everywhere("errors", 0.75)
    staged.run(2)
    assert act(staged, "get_metrics_detail", ROOT, {}).figures["build_age_s"] == 60
    act(staged, "rollback_deploy", ROOT, {})
    assert act(staged, "get_metrics_detail", ROOT, {}).figures["build_age_s"] is None


def test_no_more_customers_are_let_down_than_there_are() -> None:
    world = a_world()
    world.set_lever(world.by_name["web-gateway"], "denied", 1.0)
    for _ in range(12):
        world.step()
        told = next(a for a in fire(world, {}) if a["metric_name"] == "customer_error_ratio")
        assert 0.9 < told["metric_value"] <= 1.0


def test_meters_are_those_of_the_levers_as_they_are_now() -> None:
    world = a_world()
    service = world.by_name[ROOT]
    world.run(3)
    before = read(service)
    assert read(service) is before
    world.set_lever(service, "bots", 0.5)
    assert read(service).seen > before.seen
    world.set_lever(service, "bots", 0.0)
    assert read(service) == before
    world.step()
    assert read(service) != before


def test_of_a_callee_that_is_not_asked_nothing_is_measured() -> None:
    world = a_world()
    call = next(service.calls[0] for service in world.services if service.calls)
    figures = []
    for state in ("open", "closed"):
        act(world, "circuit_break", call.callee.name, {"state": state})
        world.run(2)
        told = act(world, "trace_dependencies", call.caller.name, {}).figures
        figures.append(told["callees"][call.callee.name])
    assert set(figures[0]) == {"usual_calls", "timeout_s", "calls_per_request"}
    assert figures[0]["calls_per_request"] == 0 < figures[1]["calls_per_request"]
    assert {"fail", "says", "fallback"} <= set(figures[1])


def test_the_most_memory_is_told_in_megabytes_and_can_be_had() -> None:
    world = a_world()
    told = act(world, "check_gc_pressure", ROOT, {})
    most = told.figures["most_mb"]
    assert told.text.endswith(f"limit {told.figures['limit_mb']:.0f} MB, at most {most:.0f}")
    act(world, "scale_replicas", ROOT, {"memory_limit_mb": 2 * most})
    assert act(world, "check_gc_pressure", ROOT, {}).figures["limit_mb"] == most
