"""The world alone: levers, load, queues, retries, memory, and the same bytes every time."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

import firewatch_env
from firewatch_env.actions import act
from firewatch_env.engine.levers import LEVERS
from firewatch_env.engine.motion import ZONE_B
from support.firewatch_worlds import a_world, course

ENGINE = Path(firewatch_env.__file__).parent / "engine"


def test_an_ordinary_day_does_no_harm_at_all() -> None:
    assert course(a_world(), 300) == [0.0] * 300


def test_a_copy_goes_on_as_the_original_would() -> None:
    world = a_world()
    world.set_lever(world.by_name["order-db"], "cpu.bulk", 9.0)
    course(world, 3)
    copy = world.copy()
    assert course(copy) == course(world)
    assert any(course(copy, 1))


def test_a_copy_shares_nothing_that_changes() -> None:
    world = a_world()
    copy = world.copy()
    copy.set_lever(copy.by_name["order-db"], "errors.bulk", 0.9)
    copy.by_name["order-db"].parts[0].fill = 0.9
    course(copy, 5)
    assert course(world, 5) == [0.0] * 5


def test_a_lever_matters_as_much_as_its_feature_is_used() -> None:
    harms = []
    for feature in ("bulk", "quote", "feed"):
        world = a_world()
        world.set_lever(world.by_name["checkout-api"], f"errors.{feature}", 0.8)
        harms.append(course(world)[-1])
    assert harms[0] > harms[1] > harms[2] > 0


@pytest.mark.parametrize(
    ("service", "lever", "value"),
    [
        ("order-api", "errors.bulk", 0.8),
        ("order-api", "cpu.bulk", 9.0),
        ("order-api", "slots", 0.02),
        ("order-api", "refuse.bulk", 0.8),
        ("order-api", "limit.bulk", 0.1),
        ("order-api", "path.bulk", 0.8),
        ("order-api", "environment", 0.9),
        ("order-api", "timeout.order-db", 0.004),
        ("order-api", "calls.order-db", 8.0),
        ("order-db", "zone_lost", 0.8),
        ("order-db", "leaders", 0.4),
        ("order-db", "hot.bulk", 1.2),
        ("order-db", "grow.bulk", 0.2),
        ("order-db", "fill.bulk", 1.3),
    ],
)
def test_harm_begins_with_a_lever_and_ends_with_it(service: str, lever: str, value: float) -> None:
    world = a_world()
    target = world.by_name[service]
    world.set_lever(target, lever, value)
    assert max(course(world)) > 0.01
    world.set_lever(target, lever, LEVERS[lever.partition(".")[0]].usual)
    for part in target.parts:
        part.fill = 0.0
    assert course(world, 15)[-8:] == [0.0] * 8


def test_a_storm_of_retries_outlives_what_began_it() -> None:
    harms = []
    for tries in (1.0, 3.0):
        world = a_world()
        world.set_lever(world.by_name["order-api"], "tries.order-db", tries)
        world.set_lever(world.by_name["order-db"], "cpu_limit", 0.25)
        course(world, 4)
        world.set_lever(world.by_name["order-db"], "cpu_limit", 1.0)
        harms.append(course(world, 60)[-1])
    assert harms[0] == 0.0
    assert harms[1] > 0.1


def test_memory_that_grows_gets_pods_killed_again_and_again() -> None:
    world = a_world()
    service = world.by_name["order-api"]
    world.set_lever(service, "grow.bulk", 0.25)
    down = []
    for _ in range(30):
        world.step()
        down.append(any(part.down for part in service.parts))
    assert sum(b and not a for a, b in itertools.pairwise(down)) >= 2


def test_a_pod_fills_half_as_fast_where_twice_as_many_share_the_requests() -> None:
    fills = []
    for times in (1, 2):
        world = a_world()
        service = world.by_name["order-api"]
        act(world, "scale_replicas", "order-api", {"replicas": times * service.pods})
        course(world, 8)
        world.set_lever(service, "leak", 0.02)
        course(world, 5)
        fills.append(service.parts[0].fill)
        held = re.search(r"\+(\d+) MB", act(world, "check_gc_pressure", "order-api", {}).text)
        assert held
        assert 0 < int(held[1]) <= 2 * service.memory_mb * fills[-1]
    assert fills[0] == pytest.approx(2 * fills[1])


def test_a_slow_zone_makes_its_own_requests_late_and_no_others() -> None:
    world = a_world()
    service = world.by_name["order-db"]
    world.set_lever(service, "neighbour", 0.9)
    course(world)
    (call,) = service.callers
    assert service.lat > 2 * call.timeout
    assert ZONE_B * 0.9 < call.late < ZONE_B * 1.01


def test_a_timeout_that_a_release_has_cut_is_long_enough_while_it_is_extended() -> None:
    world = a_world()
    world.set_lever(world.by_name["order-api"], "timeout.order-db", 0.004)
    assert course(world, 3)[-1] > 0.01
    act(world, "extend_timeout", "order-api", {})
    assert course(world, 3)[-1] == 0.0
    world.take_back()
    assert course(world, 3)[-1] > 0.01


def test_what_is_lent_is_taken_back_and_what_is_mended_stays() -> None:
    world = a_world()
    before = course(world.copy(), 12)
    for action, parameters in (
        ("scale_replicas", {"replicas": 20}), ("traffic_shift", {}), ("circuit_break", {}),
        ("enable_connection_throttle", {}), ("extend_timeout", {}), ("increase_cpu_limit", {}),
    ):  # fmt: skip
        assert act(world, action, "order-db", parameters).changed
    act(world, "scale_replicas", "order-api", {"memory_limit_mb": 1e9})
    course(world, 3)
    world.take_back()
    service = world.by_name["order-db"]
    assert (service.size, service.drain, service.queue, service.levers) == (1.0, None, 3.0, {})
    assert not any(call.breaker for call in service.callers)
    assert world.by_name["order-api"].memory_limit > 2
    assert course(world, 12)[4:] == before[4:] == [0.0] * 8


def test_a_breaker_of_a_fault_is_no_loan() -> None:
    world = a_world()
    world.set_lever(world.by_name["order-api"], "fallback.order-db", 1.0)
    world.take_back()
    assert course(world, 3)[-1] > 0
    act(world, "disable_fallback_mode", "order-api", {})
    assert course(world, 3)[-1] == 0.0


def test_a_roomy_tick_is_the_same_in_the_short_way_as_in_the_long_one() -> None:
    world = a_world()
    world.set_lever(world.by_name["order-db"], "leaders", 0.3)
    other = world.copy()
    for service in other.services:
        service.special = True
    for _ in range(5):
        world.step()
        other.step()
        for one, two in zip(world.services, other.services, strict=True):
            assert one.now == pytest.approx(two.now, abs=1e-12)
        assert world.harm == pytest.approx(other.harm, abs=1e-12)
    assert world.harm > 0.01


def test_the_engine_imports_nothing_beyond_the_standard_library_but_its_bits() -> None:
    allowed = {"collections", "dataclasses", "functools", "typing", "__future__", "firewatch_env"}
    for path in sorted(ENGINE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                head = name.split(".")[0]
                fine = head in allowed or (
                    path.name == "world.py" and name == "openenv_kit.bitstream"
                )
                assert fine, f"{path.name} imports {name}"
                if head == "firewatch_env":
                    assert name.startswith("firewatch_env.engine"), f"{path.name}: {name}"


def test_a_tick_uses_only_arithmetic_that_is_exact_everywhere() -> None:
    for name in ("tick.py", "levers.py", "world.py", "service.py"):
        for node in ast.walk(ast.parse((ENGINE / name).read_text())):
            assert not isinstance(node, ast.Pow), f"{name} raises to a power"
