"""The simulated world: determinism, forks, pods, waiting, latency and the recorded history."""

from __future__ import annotations

from array import array

import pytest

from firewatch_next.changes.change import ChangeKind
from firewatch_next.faults.fault_type import FaultType, Origin, Place, Severity, Thing
from firewatch_next.faults.registry import fault_types
from firewatch_next.simulation.build_world import build_world
from firewatch_next.simulation.catalogue import CATALOGUE, draw_services
from firewatch_next.simulation.edits import (
    RestartPods,
    RollOut,
    ScalePods,
    SetBreaker,
    SetSetting,
    ShiftTraffic,
)
from firewatch_next.simulation.latency import (
    bucket_shares,
    combine_modes,
    quantile_of_modes,
    share_of_modes_above,
)
from firewatch_next.simulation.metrics import METRICS, Label
from firewatch_next.simulation.rows import CALL_COLUMNS, SERVICE_COLUMNS, Column
from firewatch_next.simulation.series import read_series
from firewatch_next.simulation.service import BreakerState, Mode, ServiceKind
from firewatch_next.simulation.waiting import CALM_UTILIZATION, pool_failure_share, wait_for_server
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream
from support.fault_trials import SEEDS, Wanted, find_wanted_places, make_world, start_fault


def calm_world(count: int = 12, seed: str = "calm") -> World:
    return build_world(BitStream(seed), count)


def faulty_world(name: str = "code_error") -> World:
    wanted = Wanted(Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY)
    fault_type = fault_types()[name]
    place = find_wanted_places(fault_type, make_world(SEEDS[0], wanted), wanted)[0]
    return start_fault(fault_type, SEEDS[0], place, wanted, 0.5).world


def all_values(world: World) -> list[list[float]]:
    """Return every stored value of every tick."""
    ticks = range(world.history.first_tick, world.history.last_tick + 1)
    return [
        [
            world.history.harm_at(tick),
            *(
                value
                for service in world.ordered
                for value in [
                    *world.history.service_values(service.name, tick),
                    *(
                        number
                        for client in service.clients
                        for number in world.history.call_values(service.name, client.callee, tick)
                    ),
                ]
            ),
        ]
        for tick in ticks
    ]


@pytest.mark.parametrize("count", [3, 6, 12, 20, 30, 60])
def test_world_of_each_size_is_calm_and_harms_nobody(count: int) -> None:
    world = calm_world(count)
    assert len(world.services) == count
    while world.tick < 0:
        world.advance()
        assert world.harm == 0.0
    assert all(service.is_calm for service in world.ordered)
    assert all(0.0 < service.utilization < CALM_UTILIZATION for service in world.ordered)


def test_catalogue_has_no_unknown_callees_and_draws_callers_first() -> None:
    for plan in CATALOGUE.values():
        for call in plan.calls:
            assert call.callee in CATALOGUE
            assert not call.cache or call.cache in {other.callee for other in plan.calls}
    for number in range(20):
        names = draw_services(BitStream(f"draw {number}"), 12)
        kinds = {CATALOGUE[name].kind for name in names}
        assert {ServiceKind.INGRESS, ServiceKind.STORE, ServiceKind.CACHE} <= kinds
        for position, name in enumerate(names):
            callees = {call.callee for call in CATALOGUE[name].calls}
            assert not callees & set(names[:position])


def test_draw_services_rejects_a_count_outside_the_range() -> None:
    with pytest.raises(ValueError, match="3 to 60 services, not 2"):
        draw_services(BitStream("few"), 2)


def test_same_seed_gives_the_same_values_and_another_seed_others() -> None:
    first, second, other = faulty_world(), faulty_world(), calm_world(12, "other")
    other.advance_to(0)
    assert all_values(first) == all_values(second)
    assert all_values(first) != all_values(other)


def test_fork_goes_on_like_its_origin_and_independently() -> None:
    world = faulty_world()
    fork, changed = world.fork(), world.fork()
    name = world.ordered[0].name
    changed.schedule(1, ScalePods(name, 1))
    for copy in (world, fork, changed):
        copy.advance_to(20)
    assert all_values(world) == all_values(fork)
    assert all_values(changed) != all_values(world)
    assert len(world.services[name].pods) == world.services[name].usual_pods
    assert world.history.row(0) is changed.history.row(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["code_error", "connection_leak"])
def test_rows_are_equal_with_and_without_the_calm_shortcut(name: str) -> None:
    wanted = Wanted(Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY, start_tick=-30)
    fault_type = fault_types()[name]
    worlds = []
    for uses_shortcut in (True, False):
        world = make_world(SEEDS[1], wanted)
        world.uses_calm_shortcut = uses_shortcut
        place = find_wanted_places(fault_type, world, wanted)[0]
        faulty = start_fault_in(world, fault_type, place)
        worlds.append(faulty)
    assert any(service.is_calm for service in worlds[0].ordered)
    for quick, full in zip(all_values(worlds[0]), all_values(worlds[1]), strict=True):
        assert quick == pytest.approx(full, rel=1e-6, abs=1e-9)


def start_fault_in(world: World, fault_type: FaultType, place: Place) -> World:
    world.advance_to(-31)
    world.add_fault(fault_type.start(world, place, Severity(0.7, -30, "shortcut")))
    world.advance_to(10)
    return world


def test_history_stores_calm_services_as_loads_only() -> None:
    world = calm_world(30)
    world.advance_to(0)
    row = world.history.row(-1)
    assert not row.full
    assert not row.values
    assert isinstance(row.loads, array)
    assert (SERVICE_COLUMNS, CALL_COLUMNS) == (24, 7)
    with pytest.raises(IndexError, match="tick 1 is not recorded"):
        world.history.row(1)


def test_rollout_replaces_a_quarter_of_the_pods_per_minute() -> None:
    world = calm_world()
    service = max(world.ordered, key=lambda s: len(s.pods))
    pods = len(service.pods)
    world.schedule(world.tick + 1, RollOut(service.name, version="99.0.0"))
    new, ready = [], []
    for _ in range(9):
        world.advance()
        new.append(sum(pod.version == "99.0.0" for pod in service.pods))
        ready.append(len(service.ready_pods(world.tick)))
    quarter = -(-pods // 4)
    assert new[:4] == [quarter, quarter, 2 * quarter, 2 * quarter]
    assert new[-1] == pods
    assert ready[0] == pods - quarter
    assert ready[-1] == pods
    assert not world.rollouts


def test_restart_replaces_pods_of_one_zone_with_the_same_version() -> None:
    world = calm_world()
    service = world.ordered[0]
    zone = service.pods[0].zone
    before = {pod.name for pod in service.pods}
    world.schedule(world.tick + 1, RestartPods(service.name, zone))
    world.advance_to(world.tick + 10)
    fresh = [pod for pod in service.pods if pod.name not in before]
    assert fresh
    assert {pod.zone for pod in fresh} == {zone}
    assert {pod.version for pod in service.pods} == {service.version}


def test_shifted_traffic_leaves_the_zone_and_comes_back() -> None:
    world = calm_world()
    service = world.ordered[0]
    zone = service.pods[0].zone
    for factor, expected in ((0.0, 0.0), (1.0, None)):
        world.schedule(world.tick + 1, ShiftTraffic(service.name, "zone", zone, factor))
        world.advance()
        share = sum(g.traffic_share for g in service.groups if g.zone == zone)
        pods = sum(g.pods for g in service.groups if g.zone == zone)
        even = pods / len(service.pods)
        assert share == pytest.approx(even if expected is None else expected)


def test_open_breaker_stops_the_calls_and_degrades_answers() -> None:
    world = calm_world()
    world.advance_to(-100)
    caller = next(s for s in world.ordered if s.clients and s.entry_rate > 0)
    client = caller.clients[0]
    world.schedule(-99, SetBreaker(caller.name, client.callee, BreakerState.OPEN))
    world.advance_to(-95)
    assert client.flow == 0.0
    assert caller.degraded_share > 0.0
    assert world.harm > 0.0


def test_edit_in_the_past_is_rejected() -> None:
    world = calm_world(3)
    world.advance()
    with pytest.raises(ValueError, match="is scheduled for tick"):
        world.schedule(world.tick, ScalePods(world.ordered[0].name, 2))


def test_cut_cpu_rejects_what_the_cores_cannot_serve() -> None:
    world = calm_world()
    world.advance_to(-100)
    service = next(s for s in world.ordered if not s.threads and s.entry_rate == 0.0)
    need = service.load * service.cpu_seconds_per_request / len(service.pods)
    world.schedule(-99, SetSetting(service.name, "cpu_cores", f"{need / 2.0:.4f}"))
    world.advance_to(-60)
    assert service.utilization == 1.0
    assert service.admitted_share < 0.8
    served_cores = service.load * service.admitted_share * service.cpu_seconds_per_request
    assert served_cores == pytest.approx(service.cpu_cores * len(service.pods), rel=0.03)


def test_wait_is_continuous_at_full_use_and_zero_when_calm() -> None:
    for utilization in (0.1, 0.4, CALM_UTILIZATION):
        assert wait_for_server(utilization, 4.0, 0.01, 0.5) == (0.0, 0.0)
    almost = wait_for_server(1.0 - 1e-9, 4.0, 0.01, 0.5)
    full = wait_for_server(1.0, 4.0, 0.01, 0.5)
    assert almost == pytest.approx(full, rel=1e-6)
    shares = [wait_for_server(use / 100.0, 8.0, 0.01, 0.5).share for use in range(40, 120)]
    assert shares == sorted(shares)
    assert pool_failure_share(0.95) == 0.0
    assert pool_failure_share(1.9) == pytest.approx(0.5)


def test_quantiles_of_one_mode_follow_the_normal_distribution() -> None:
    mode = (Mode(1.0, 0.1, 1.25),)
    assert quantile_of_modes(mode, 0.5) == pytest.approx(0.1, rel=1e-6)
    # One standard deviation is two steps.
    assert quantile_of_modes(mode, 0.84134) == pytest.approx(0.1 * 1.25**2, rel=1e-6)
    assert share_of_modes_above(mode, 0.1 * 1.25**2) == pytest.approx(1 - 0.84134)
    shares = bucket_shares(mode)
    assert list(shares) == sorted(shares)


def test_combined_modes_keep_the_largest_delays_and_add_up_to_one() -> None:
    fast = Mode(1.0, 0.01, 1.2)
    others = [Mode(0.02 * number, 0.01 + number, 1.2) for number in range(1, 8)]
    modes = combine_modes(fast, others.copy())
    assert len(modes) == 5
    assert sum(mode.share for mode in modes) == pytest.approx(1.0)
    assert {mode.median for mode in modes[1:]} == {mode.median for mode in others[3:]}


@pytest.mark.parametrize(
    ("seed", "caller", "callee"),
    [
        ("osc0", "partner-api", "quota-api"),
        ("osc4", "catalog-api", "catalog-cache"),
        ("osc7", "partner-api", "quota-api"),
    ],
)
def test_full_cpu_behind_a_pool_settles(seed: str, caller: str, callee: str) -> None:
    world = calm_world(12, seed)
    for position in range(len(world.demand)):
        world.demand[position] = 1.0
    world.advance_to(-100)
    service = world.services[callee]
    assert world.services[caller].client_of(callee).pool_size > 0
    cores = service.cpu_cores * service.utilization * 0.8
    world.schedule(-99, SetSetting(callee, "cpu_cores", f"{cores:.4f}"))
    world.advance_to(-60)
    harms = []
    for _ in range(30):
        world.advance()
        harms.append(world.harm)
    assert min(harms) > 0.02
    assert max(harms) - min(harms) < 0.05


def test_every_metric_is_readable_by_each_of_its_labels() -> None:
    world = faulty_world()
    name = next(s.name for s in world.ordered if s.kind is ServiceKind.APPLICATION and s.clients)
    ticks = range(-20, 1, 4)
    for metric in METRICS.values():
        for label in (None, *metric.labels):
            for series in read_series(
                world.history, world.services, metric.name, name, label, ticks, "noise"
            ):
                assert len(series.values) == len(series.ticks)
                assert all(value >= 0.0 for value in series.values), series


def test_overlapping_windows_have_the_same_noise() -> None:
    world = faulty_world()
    name = world.ordered[0].name

    def read(first: int, key: str) -> dict[int, float]:
        ticks = range(first, 1)
        series = read_series(world.history, world.services, "request_rate", name, None, ticks, key)[
            0
        ]
        return dict(zip(series.ticks, series.values, strict=True))

    long, short = read(-40, "task"), read(-10, "task")
    assert short == {tick: long[tick] for tick in short}
    assert read(-10, "another task") != short
    exact = {tick: world.history.service_values(name, tick)[Column.LOAD] for tick in short}
    assert short == pytest.approx(exact, rel=0.06)


def test_metric_with_a_wrong_label_is_rejected() -> None:
    world = calm_world(3)
    world.advance()
    with pytest.raises(ValueError, match="gc_share cannot be grouped by zone; allowed: none"):
        read_series(
            world.history, world.services, "gc_share", world.ordered[0].name, Label.ZONE,
            [world.tick], "key",
        )  # fmt: skip


def test_faulty_version_shows_its_errors_by_version_while_both_run() -> None:
    wanted = Wanted(Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY, start_tick=-3)
    fault_type = fault_types()["code_error"]
    place = find_wanted_places(fault_type, make_world(SEEDS[0], wanted), wanted)[0]
    world = start_fault(fault_type, SEEDS[0], place, wanted, 0.5).world
    by_version = {
        series.labels["version"]: series.values[-1]
        for series in read_series(
            world.history, world.services, "error_ratio", place.service, Label.VERSION, [0], "key"
        )
    }
    assert len(by_version) == 2
    assert by_version.pop(place.name) > 0.3
    assert max(by_version.values()) < 0.05


def test_world_starts_ninety_minutes_before_the_reset() -> None:
    world = calm_world(3)
    world.advance_to(0)
    assert world.history.first_tick == -179
    assert world.history.last_tick == 0
