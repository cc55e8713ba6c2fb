"""The world alone: levers, load, queues, retries, memory, and the same bytes every time."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest

import firewatch_env
from firewatch_env.actions import act
from firewatch_env.engine.levers import LEVERS
from firewatch_env.engine.motion import swing
from firewatch_env.engine.randomness import BitStream
from firewatch_env.engine.world import World, build

ENGINE = Path(firewatch_env.__file__).parent / "engine"
NAMES = {
    "web-gateway", "storefront-api", "edge-mesh", "checkout-api", "service-mesh", "order-api",
    "order-db", "inventory-api",
}  # fmt: skip
WITH_A_CACHE = NAMES | {"cart-api", "cart-cache", "cart-db"}


def a_world(ticks: int = 30, names: set[str] = NAMES) -> World:
    world = build(names, "web-gateway", BitStream("tests"), -60, 400)
    for service in world.services:
        service.features = {"bulk": 0.6, "quote": 0.3, "feed": 0.1}
    world.run(ticks)
    return world


def course(world: World, ticks: int = 20) -> list[float]:
    harm = []
    for _ in range(ticks):
        world.step()
        harm.append(world.harm)
    return harm


def test_an_ordinary_day_does_no_harm_at_all() -> None:
    assert course(a_world(), 300) == [0.0] * 300


def test_a_copy_goes_on_as_the_original_would() -> None:
    world = a_world()
    world.set_lever(world.by_name["order-db"], "cpu.bulk", 9.0)
    world.run(3)
    copy = world.copy()
    assert course(copy) == course(world)
    assert any(course(copy, 1))


def test_a_copy_shares_nothing_that_changes() -> None:
    world = a_world()
    copy = world.copy()
    copy.set_lever(copy.by_name["order-db"], "errors.bulk", 0.9)
    copy.by_name["order-db"].parts[0].fill = 0.9
    copy.run(5)
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
        ("order-api", "slots.bulk", 0.01),
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
        world.run(4)
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


def seen_of(world: World) -> list[object]:
    """Everything that is a plain value in a world's services and calls."""
    parts = [*world.services, *(call for service in world.services for call in service.calls)]
    values = [getattr(each, name) for each in parts for name in each.__slots__]
    return [value for value in values if isinstance(value, (int, float, tuple))]


@pytest.mark.parametrize("how", ["staged", "waves"])
@pytest.mark.parametrize("root", ["order-api", "cart-api"])
def test_what_sways_follows_in_the_short_way_as_in_the_long_one(how: str, root: str) -> None:
    short = set()
    start = a_world(names=WITH_A_CACHE)
    start.by_name["cart-cache"].staged.add("hits.bulk")
    start.set_lever(start.by_name["cart-cache"], "hits.bulk", 0.73)
    store = root.replace("api", "db")
    for name, lever in LEVERS.items():
        world = start.copy()
        service = world.by_name[root]
        for each in (f"{name}.bulk", f"{name}.{store}", name, "cpu.quote", "slots.feed"):
            if how == "staged":
                service.staged.add(each)
            else:
                service.waves[each] = (10, 3)
            world.set_lever(service, each, 2 * lever.usual or 0.5)
            world.set_lever(service, f"{name}.feed", 3 * lever.usual or 0.3)
            if service.swaying:
                short.add(name)
            other = world.copy()
            for _ in range(3):
                world.step()
                for one in other.services:
                    one.swaying = None
                other.step()
                for one in other.services:
                    one.swaying = world.by_name[one.name].swaying
                assert seen_of(world) == seen_of(other), each
    assert len(short) > 40


def test_a_breaker_that_was_closed_by_hand_stays_closed_where_calls_sway() -> None:
    world = a_world()
    caller = world.by_name["order-api"]
    caller.staged.add("calls.order-db")
    world.set_lever(caller, "calls.order-db", 2.0)
    world.set_lever(caller, "fallback.order-db", 1.0)
    world.step()
    assert [call.breaker for call in caller.calls if call.callee.name == "order-db"] == [True]
    act(world, "circuit_break", "order-db", {"state": "closed"})
    world.step()
    assert [call.breaker for call in caller.calls if call.callee.name == "order-db"] == [False]


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
                    path.name == "randomness.py" and name == "openenv_kit.bitstream"
                )
                assert fine, f"{path.name} imports {name}"
                if head == "firewatch_env":
                    assert name.startswith("firewatch_env.engine"), f"{path.name}: {name}"


def test_a_tick_uses_only_arithmetic_that_is_exact_everywhere() -> None:
    for name in ("tick.py", "levers.py", "world.py", "service.py"):
        for node in ast.walk(ast.parse((ENGINE / name).read_text())):
            assert not isinstance(node, ast.Pow), f"{name} raises to a power"


@pytest.mark.parametrize("period", [10, 12, 14])
def test_what_rises_and_falls_does_so_in_unequal_steps(period: int) -> None:
    course = [swing((period, 3), tick) for tick in range(200)]
    assert max(map(abs, course)) <= 1
    steps = {round(abs(after - before), 6) for before, after in itertools.pairwise(course)}
    assert len(steps) > 1
