"""Certificates, addresses, disks, records, nodes and replicas in the simulation, and tools."""

from __future__ import annotations

import pytest

from firewatch_next.actions.action import ActionError
from firewatch_next.actions.registry import take_action
from firewatch_next.changes.change import ChangeKind
from firewatch_next.faults.certificate import CertificateFault
from firewatch_next.faults.fault_type import Origin, Thing
from firewatch_next.faults.registry import fault_types
from firewatch_next.grading.replay import TimedCall, run_calls
from firewatch_next.simulation.build_world import build_world
from firewatch_next.simulation.connections import update_old_connections
from firewatch_next.simulation.edits import RollOut
from firewatch_next.simulation.repair_edits import (
    MovePods,
    RegisterInstances,
    SetCertificate,
    StoreRecords,
)
from firewatch_next.simulation.service import BreakerState, Service, ServiceKind
from firewatch_next.simulation.settings import FORCED_OPEN, apply_setting
from firewatch_next.simulation.stored_records import (
    layout_share,
    purge_other_layouts,
    set_layout_share,
    usual_layout,
)
from firewatch_next.simulation.things import USUAL_ISSUER
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream
from openenv_kit.tool import ToolCall
from support.fault_trials import LEVEL_TICKS, build_faulty_world
from support.infrastructure_trials import INFRASTRUCTURE_TRIALS


@pytest.fixture
def world() -> World:
    world = build_world(BitStream("platform"), 20)
    world.advance_to(-170)
    return world


def first_of(world: World, kind: ServiceKind) -> Service:
    return next(service for service in world.ordered if service.kind is kind)


def test_old_connections_end_within_their_lifetime_and_with_their_pod(world: World) -> None:
    service = next(s for s in world.ordered if s.kind is ServiceKind.APPLICATION and s.clients)
    client = service.clients[0]
    shares = []
    for now in (0, 4, 9, 20):
        update_old_connections(service, client, 0, now, 10.0)
        shares.append(client.old_connections_share)
    assert shares == pytest.approx([0.9, 0.5, 0.0, 0.0])
    service.pods[0].started_tick = 1
    update_old_connections(service, client, 0, 4, 10.0)
    pods = len(service.pods)
    assert client.old_connections_share == pytest.approx(0.5 * (pods - 1) / pods)


def test_restarting_callers_of_an_expired_certificate_harms() -> None:
    wanted = INFRASTRUCTURE_TRIALS["certificate", "expired"]
    faulty = build_faulty_world(fault_types()["certificate"], wanted)
    assert isinstance(faulty.fault, CertificateFault)
    caller = faulty.world.callers[faulty.fault.place.service][0]
    restart = TimedCall(2, ToolCall("restart_pods", {"service": caller}))
    harm = run_calls(faulty.world, [], LEVEL_TICKS).harm
    assert run_calls(faulty.world, [restart], LEVEL_TICKS).harm > 1.05 * harm


def test_certificate_is_trusted_until_it_expires_and_only_of_the_usual_issuer(
    world: World,
) -> None:
    service = first_of(world, ServiceKind.STORE)
    fork = world.fork()
    SetCertificate(service.name, USUAL_ISSUER, 5).apply(world, world.tick)
    assert service.certificate is not None
    assert service.certificate.is_trusted(4)
    assert not service.certificate.is_trusted(5)
    SetCertificate(service.name, "internal-ca-2", 5).apply(world, world.tick)
    assert not service.certificate.is_trusted(4)
    original = fork.services[service.name].certificate
    assert original is not None
    assert original.is_trusted(4)


def test_moved_pods_start_elsewhere_and_harm_nobody(world: World) -> None:
    zone = world.zones[0]
    take_action(world, "move_pods", "all", {"away_from": zone})
    counts = {service.name: len(service.pods) for service in world.ordered}
    world.advance()
    assert all(pod.zone != zone for service in world.ordered for pod in service.pods)
    assert counts == {service.name: len(service.pods) for service in world.ordered}
    for _ in range(6):
        world.advance()
        assert world.harm == 0.0


def test_moving_pods_without_another_place_changes_nothing(world: World) -> None:
    service = first_of(world, ServiceKind.APPLICATION)
    for other in world.ordered:
        for pod in other.pods:
            pod.zone, pod.node = "eu-1a", "node-1a-1"
    names = [pod.name for pod in service.pods]
    MovePods(service.name, "eu-1a").apply(world, world.tick)
    assert [pod.name for pod in service.pods] == names


def test_shares_of_layouts_add_up_and_a_purge_keeps_the_usual_one(world: World) -> None:
    store = first_of(world, ServiceKind.STORE)
    usual = usual_layout(store)
    set_layout_share(store, "v99", "writer 1.0.0", 0.3)
    set_layout_share(store, "v99", "writer 1.0.0", 0.4)
    assert layout_share(store, "v99") == pytest.approx(0.4)
    assert layout_share(store, usual) == pytest.approx(0.6)
    purge_other_layouts(store)
    assert layout_share(store, "v99") == 0.0
    assert layout_share(store, usual) == pytest.approx(1.0)


def test_stale_answers_of_a_store_reach_customers(world: World) -> None:
    """A store's stale share is an effect, so it lasts for the tick in which it is set."""

    class StaleStore:
        start_tick = -169

        def apply(self, world: World, tick: int) -> None:
            for store in world.ordered:
                if store.kind is ServiceKind.STORE:
                    world.mark_affected(store)
                    store.stale_share = 0.5

    world.add_fault(StaleStore())
    world.advance()
    assert world.harm > 0.01
    world.faults.clear()
    world.advance()
    world.advance()
    assert world.harm == 0.0


def test_forced_breaker_stays_open_until_it_is_closed(world: World) -> None:
    client = next(c for s in world.ordered for c in s.clients if c.is_optional)
    service = world.services[client.caller]
    apply_setting(service, f"breaker.{client.callee}", FORCED_OPEN)
    assert client.breaker is BreakerState.OPEN
    arguments = {"callee": client.callee, "state": "closed"}
    take_action(world, "set_breaker", service.name, arguments)
    world.advance()
    assert client.breaker is BreakerState.CLOSED
    assert service.settings[f"breaker.{client.callee}"] == "auto"


@pytest.mark.parametrize("what", ["disk", "instances", "leader", "queue", "records", "replica"])
def test_repair_data_is_needless_for_an_application_in_order(world: World, what: str) -> None:
    service = first_of(world, ServiceKind.APPLICATION)
    service.disk_used_share = 0.3
    plan = take_action(world, "repair_data", service.name, {"what": what})
    assert plan.edits == ()


def test_repair_data_cleans_disks_queues_and_registries(world: World) -> None:
    queue = first_of(world, ServiceKind.QUEUE)
    queue.disk_used_share = 1.0
    StoreRecords(queue.name, "partition 3", "order-api", 0.1).apply(world, world.tick)
    RegisterInstances(queue.name, 4).apply(world, world.tick)
    for what in ("disk", "queue", "instances"):
        take_action(world, "repair_data", queue.name, {"what": what})
    world.advance_to(world.tick + 3)
    assert queue.disk_used_share == 0.4
    assert queue.records == []
    assert queue.stale_instances == 0


def test_repair_data_resynchronizes_replicas_and_elects_one_leader(world: World) -> None:
    store = first_of(world, ServiceKind.STORE)
    term = int(store.settings["term"])
    apply_setting(store, "replication", "stalled")
    apply_setting(store, "term.eu-1c", str(term + 1))
    store.replica_lag_seconds = 90.0
    take_action(world, "repair_data", store.name, {"what": "replica"})
    take_action(world, "repair_data", store.name, {"what": "leader"})
    world.advance_to(world.tick + 4)
    assert store.settings["replication"] == "streaming"
    assert store.replica_lag_seconds == 0.0
    assert "term.eu-1c" not in store.settings
    assert int(store.settings["term"]) == term + 1


def test_clock_of_a_node_is_set_for_all_its_services(world: World) -> None:
    service = first_of(world, ServiceKind.APPLICATION)
    node = service.pods[0].node
    pods = [pod for other in world.ordered for pod in other.pods if pod.node == node]
    for pod in pods:
        pod.clock_offset_seconds = 50.0
    take_action(world, "renew", service.name, {"what": "clock"})
    world.advance()
    assert {pod.clock_offset_seconds for pod in pods} == {0.0}


def test_finish_rollout_completes_half_a_rollout_only(world: World) -> None:
    service = first_of(world, ServiceKind.APPLICATION)
    assert take_action(world, "finish_rollout", service.name, {}).edits == ()
    world.schedule(world.tick + 1, RollOut(service.name, version="99.0.0", max_pods_share=0.25))
    world.advance_to(world.tick + 9)
    assert {pod.version for pod in service.pods} != {"99.0.0"}
    take_action(world, "finish_rollout", service.name, {})
    world.advance_to(world.tick + 9)
    assert {pod.version for pod in service.pods} == {"99.0.0"}


def test_quota_of_a_third_party_can_be_raised() -> None:
    world = build_world(BitStream("quota"), 55)
    provider = first_of(world, ServiceKind.THIRD_PARTY)
    take_action(world, "set_limit", provider.name, {"kind": "quota", "value": 5000})
    world.advance()
    assert provider.settings["quota_per_second"] == "5000"
    other = first_of(world, ServiceKind.STORE)
    plan = take_action(world, "set_limit", other.name, {"kind": "quota", "value": 5000})
    assert plan.edits == ()


def test_shifted_replicas_and_zones_are_even_again_after_none(world: World) -> None:
    store = first_of(world, ServiceKind.STORE)
    take_action(world, "shift_traffic", store.name, {"away_from": "replicas"})
    take_action(world, "shift_traffic", "all", {"away_from": "eu-1a"})
    world.advance()
    assert not store.uses_all_replicas
    assert store.zone_weights == {"eu-1a": 0.0}
    take_action(world, "shift_traffic", "all", {"away_from": "none"})
    world.advance()
    assert store.uses_all_replicas
    assert not any(service.zone_weights for service in world.ordered)


def test_move_pods_names_the_allowed_places(world: World) -> None:
    with pytest.raises(ActionError, match=r"away_from is 'eu-9z'; allowed: .*; nearest: eu-1[abc]"):
        take_action(world, "move_pods", "all", {"away_from": "eu-9z"})


def test_trials_cover_every_fault_of_the_platform() -> None:
    """Every origin with a weight has a trial, and each fault type that needs a change one."""
    for name in {name for name, _ in INFRASTRUCTURE_TRIALS}:
        origins = {w.origin for (n, _), w in INFRASTRUCTURE_TRIALS.items() if n == name}
        assert origins == set(fault_types()[name].origins), name
    kinds = {wanted.change_kind for wanted in INFRASTRUCTURE_TRIALS.values()}
    assert {ChangeKind.CERTIFICATE, ChangeKind.CONFIG, ChangeKind.DEPLOY} <= kinds
    things = {wanted.thing for wanted in INFRASTRUCTURE_TRIALS.values()}
    assert {Thing.NODE, Thing.ZONE, Thing.THIRD_PARTY, Thing.CERTIFICATE} <= things
    assert Origin.CHANGE_ELSEWHERE in {w.origin for w in INFRASTRUCTURE_TRIALS.values()}
