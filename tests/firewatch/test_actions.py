"""The 72 actions: declared once, as the contract counts them, and physical."""

from __future__ import annotations

from collections import Counter

import pytest

from firewatch_env.actions import ACTIONS, act
from firewatch_env.actions.runbooks import _REPAIRS
from firewatch_env.engine.levers import LEVERS
from firewatch_env.engine.motion import EASE, LASTS, SHIFT
from firewatch_env.engine.service import Release, Setting
from firewatch_env.engine.world import World
from support.firewatch_worlds import a_world, course


def test_there_are_the_72_actions_of_the_contract() -> None:
    groups = Counter(action.group for action in ACTIONS.values())
    assert groups == {"look": 16, "mitigate": 10, "repair": 44, "close": 2}
    assert all(action.summary for action in ACTIONS.values())


@pytest.mark.parametrize("name", [n for n, a in ACTIONS.items() if a.group == "look"])
def test_looking_changes_nothing(name: str) -> None:
    world = a_world()
    world.set_lever(world.by_name["order-db"], "errors.bulk", 0.4)
    looked = world.copy()
    for service in looked.by_name:
        act(looked, name, service, {})
    assert course(looked) == course(world)


@pytest.mark.parametrize(
    ("action", "lever"),
    [(a, family) for a, (families, _, _) in _REPAIRS.items() for family in families],
)
def test_a_narrow_repair_puts_its_lever_right_and_acts_nowhere_else(
    action: str, lever: str
) -> None:
    world = a_world()
    service = world.by_name["order-api"]
    assert act(world, action, "order-api", {}).changed is False
    name = f"{lever}.bulk" if lever == "hot" else lever
    off = 0.2 if LEVERS[lever].usual else 0.4
    world.set_lever(service, name, off if lever != "queries" else 6.0)
    assert act(world, action, "order-db", {}).changed is False
    assert act(world, action, "order-api", {}).changed is True
    assert act(world, action, "order-api", {}).changed is None
    course(world, EASE)
    assert service.levers == {}


def test_a_log_level_that_floods_ends_no_flood() -> None:
    world = a_world()
    service = world.by_name["order-api"]
    world.set_lever(service, "logging", 0.4)
    for level in ("debug", " TRACE "):
        assert act(world, "set_log_level", "order-api", {"level": level}).changed is False
        assert service.levers
    assert act(world, "set_log_level", "order-api", {"level": "error"}).changed is True
    course(world, EASE)
    assert service.levers == {}


def test_a_number_may_come_as_text_and_nonsense_means_the_default() -> None:
    for given, pods in (("4", 4), (4, 4), ("many", 1.5), (float("nan"), 1.5), (True, 1.5)):
        world = a_world()
        service = world.by_name["order-api"]
        act(world, "scale_replicas", "order-api", {"replicas": given})
        expected = pods / service.pods if pods >= 4 else pods
        assert service.size == pytest.approx(expected)


def test_going_back_beyond_a_day_hurts() -> None:
    world = a_world()
    act(world, "rollback_deploy", "order-api", {})
    assert min(course(world)) > 0


def test_no_number_of_replicas_breaks_a_service() -> None:
    for given, pods in ((0, 1.0), (1e11, 24.0), ("0", 1.0)):
        world = a_world()
        service = world.by_name["order-api"]
        service.pods = 8
        assert act(world, "scale_replicas", "order-api", {"replicas": given}).changed
        assert service.size * service.pods == pytest.approx(pods)
        course(world)


def test_a_repair_reaches_the_pods_over_some_ticks() -> None:
    world = a_world()
    world.set_lever(world.by_name["order-api"], "leaders", 0.4)
    before = course(world, 3)[-1]
    act(world, "force_leader_election", "order-api", {})
    harm = course(world, EASE)
    assert before > harm[0] > harm[1] > harm[2] > harm[3] == 0.0


def released() -> World:
    """A world with a revision that is at fault."""
    world = a_world()
    made = Setting("errors.bulk", 0.0, 0.6, "new parser for bulk")
    release = Release(world.tick, "r2", "r1", (made,))
    world.release(world.by_name["order-api"], "revision", release)
    course(world, 3)
    return world


def test_a_change_that_was_undone_can_be_brought_back() -> None:
    world = released()
    harm = world.harm
    act(world, "revert_config", "order-api", {})
    assert course(world, EASE)[-1] == 0.0
    assert act(world, "revert_config", "order-api", {}).changed is None
    assert act(world, "revert_config", "order-api", {"undo": "True"}).changed is True
    assert course(world, EASE)[-1] == pytest.approx(harm, rel=0.05)
    assert act(world, "revert_config", "order-api", {"undo": True}).changed is None


def test_going_back_beyond_a_day_can_be_undone_too() -> None:
    world = a_world()
    act(world, "rollback_deploy", "order-api", {})
    course(world, EASE)
    act(world, "rollback_deploy", "order-api", {"undo": True})
    assert course(world, EASE + 2)[-1] == 0.0


def test_moving_traffic_cuts_connections_each_way_and_ends_by_itself() -> None:
    world = a_world()
    act(world, "traffic_shift", "order-api", {})
    harm = course(world, LASTS + SHIFT + 3)
    hurt = [number for number, each in enumerate(harm) if each > 0]
    assert hurt == [0, 1, LASTS, LASTS + 1]


def test_only_pods_of_a_zone_at_fault_are_moved() -> None:
    world = a_world()
    assert act(world, "rebalance_az_traffic", "order-db", {}).changed is False
    world.set_lever(world.by_name["order-db"], "zone_lost", 0.8)
    course(world, 2)
    assert act(world, "rebalance_az_traffic", "order-db", {}).changed is True
    assert course(world, LASTS + 10)[SHIFT:] == [0.0] * (LASTS + 10 - SHIFT)


def test_a_drain_that_has_ended_may_be_asked_for_again_but_not_ended_again() -> None:
    world = a_world()
    act(world, "traffic_shift", "order-api", {})
    course(world, LASTS + 1)
    assert act(world, "traffic_shift", "order-api", {"drain_percentage": 0}).changed is None
    assert act(world, "traffic_shift", "order-api", {}).changed is True


def test_pods_that_left_their_nodes_are_well_when_the_drain_ends() -> None:
    world = a_world()
    world.set_lever(world.by_name["order-db"], "zone_lost", 0.8)
    act(world, "traffic_shift", "order-db", {})
    course(world, SHIFT)
    act(world, "rebalance_az_traffic", "order-db", {})
    assert act(world, "rebalance_az_traffic", "order-db", {}).changed is None
    course(world, EASE)
    assert "zones are even" in act(world, "rebalance_az_traffic", "order-db", {}).text
    world.take_back()
    assert course(world, LASTS + 10) == [0.0] * (LASTS + 10)
