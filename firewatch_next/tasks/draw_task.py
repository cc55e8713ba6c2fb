"""Draws a task: services, changes, faults, bystanders, severity and false alerts.

Everything follows from the task's identity. An attempt that gives no task of the level is followed
by the next one, with other services and places but the same kinds of faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from firewatch_next.changes.bystanders import draw_advice, draw_bystander
from firewatch_next.changes.change import Change
from firewatch_next.changes.innocent_changes import (
    ChangeMaker,
    ChangeSlot,
    draw_slots,
)
from firewatch_next.contract import build_service_map, is_active_for_clients
from firewatch_next.faults.fault_type import Fault, FaultType, Origin, Place
from firewatch_next.faults.registry import fault_types
from firewatch_next.grading.par import plan_repairs
from firewatch_next.simulation.build_world import build_world
from firewatch_next.simulation.world import World
from firewatch_next.stacks import list_stacks
from firewatch_next.tasks.false_alerts import draw_false_alert
from firewatch_next.tasks.places import (
    LONGEST_ONSET,
    SHORTEST_ONSET,
    ListedPlace,
    add_changes_near,
    choose_place,
    draw_plan,
    find_ancestors,
    find_listed_place,
    list_places,
    measure_reach,
)
from firewatch_next.tasks.severity import (
    MAX_HARM,
    MIN_HARM,
    SeveritySearch,
    UnsuitableDrawError,
    start_faults,
)
from firewatch_next.tasks.task import (
    DrawnTask,
    FaultPlan,
    PlacedFault,
    StoredDraw,
    TaskSpec,
    merge_alerts,
)
from firewatch_next.telemetry.alerts import Alert, list_alerts
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import GenerationError

MAX_ATTEMPTS = 600
ATTEMPTS_PER_PLAN, ATTEMPTS_PER_FURTHER_PLAN = 60, 10
SLOT_TRIES = 4
LISTED_SLOTS = 10_000  # numbers of slots of changes that faults live on begin here
TRAFFIC = "traffic_growth"


def draw_task(spec: TaskSpec, first_attempt: int = 0) -> DrawnTask:
    """Return the task of a specification, at its reset.

    Args:
        spec: with a stored result, only that attempt is made.
        first_attempt: number of the first attempt, to pass over earlier ones.

    Raises:
        GenerationError: no attempt gives a task of the level.
        UnsuitableDrawError: the stored result is of another version of the tasks.
    """
    if spec.stored is not None:
        return _Attempt(spec, spec.stored.attempt).draw()
    for number in range(first_attempt, MAX_ATTEMPTS):
        try:
            return _Attempt(spec, number).draw()
        except UnsuitableDrawError:
            continue
    raise GenerationError(f"No task of the level {spec.level_name} was found for this seed.")


class _Attempt:
    """One attempt to draw a task."""

    def __init__(self, spec: TaskSpec, number: int) -> None:
        self.spec, self.number, self.level = spec, number, spec.level
        self.key = f"{spec.identity}/{number}"
        self.draws = BitStream(self.key)
        self.is_false_alert = spec.is_false_alert
        self.plans: tuple[FaultPlan, ...] = spec.plans
        if not spec.plans and not spec.is_false_alert:
            false_draws = BitStream(f"{spec.identity}/false alert")
            self.is_false_alert = false_draws.uniform() < self.level.false_alert_chance
            self.plans = () if self.is_false_alert else self._draw_plans()

    def _draw_plans(self) -> tuple[FaultPlan, ...]:
        """Return the kinds of faults: the first stays over many attempts, the others over fewer.

        With new kinds for each attempt, those that often fail would be rare.
        """
        identity, fault_level = self.spec.identity, self.level.fault_level
        first = BitStream(f"{identity}/kinds/{self.number // ATTEMPTS_PER_PLAN}")
        count = first.choose(self.level.fault_counts)
        plans = [draw_plan(first, fault_level, set())]
        others = BitStream(f"{identity}/further kinds/{self.number // ATTEMPTS_PER_FURTHER_PLAN}")
        while len(plans) < count:
            used = {plan.fault_type for plan in plans}
            plans.append(draw_plan(others, fault_level, used))
        return tuple(plans)

    def draw(self) -> DrawnTask:
        """Return the task.

        Raises:
            UnsuitableDrawError: this attempt gives none.
        """
        spec = self.spec
        world = build_world(
            BitStream(f"{self.key}/world"),
            self.level.services,
            lambda kind: list_stacks(kind, spec.wording),
        )
        placed = self._place_faults(world)
        self._add_bystanders(world, {item.place.service for item in placed})
        first = min(
            (i.place.change.tick if i.place.change else i.start_tick for i in placed), default=0
        )
        world.advance_to(first - 2)
        search = SeveritySearch(world)
        placed = self._find_sizes(search, placed)
        base_world = world.fork()
        faults = start_faults(world, placed)
        world.advance_to(0)
        self._check_harm(world)
        pairs = tuple(zip((item.fault_type for item in placed), faults, strict=True))
        if pairs:
            _check_repairs(world, pairs)
            if not has_legal_target(world, placed):
                raise UnsuitableDrawError("existing clients may not act on a faulty service")
        synthetic: tuple[Alert, ...] = ()
        if self.is_false_alert:
            synthetic = (draw_false_alert(self.draws, world, spec.wording),)
        hidden = set() if self.level.shows_root_alerts else {
            item.place.service for item in placed if item.fault_type.name != TRAFFIC
        }  # fmt: skip
        task = DrawnTask(
            spec, world, base_world, placed, pairs, frozenset(hidden), synthetic,
            _draw_reset_time(self.draws), StoredDraw(self.number, tuple(i.size for i in placed)),
            search.trials,
        )  # fmt: skip
        self._check_alerts(task)
        return task

    # Places and changes.

    def _place_faults(self, world: World) -> tuple[PlacedFault, ...]:
        """Add the task's changes to the world and return its faults, without sizes."""
        reach = measure_reach(world)
        listed = self._choose_listed(world, reach)
        count = self.level.changes - len([found for found in listed if found is not None])
        for _ in range(SLOT_TRIES):
            slots = {slot.number: slot for slot in draw_slots(self.draws, world, max(0, count))}
            slots |= {found.slot.number: found.slot for found in listed if found is not None}
            trial = world.fork()
            self._make_changes(trial, slots)
            places = self._choose_places(trial, reach, listed)
            if places is not None:
                break
        else:
            raise UnsuitableDrawError("no place fits the planned faults")
        starts = [self._draw_start(position) for position in range(len(places))]
        taken = {found.slot.number for found in listed if found is not None}
        for place, found, start in zip(places, listed, starts, strict=True):
            onset = start if found is None else found.slot.tick
            add_changes_near(self.draws, world, slots, place, taken, onset)
        changes = self._make_changes(world, slots)
        placed = []
        for position, (plan, place, found) in enumerate(
            zip(self.plans, places, listed, strict=True)
        ):
            change = None if found is None else changes[found.slot.number]
            again = _find_again(world, plan, place, change)
            kind, seed = fault_types()[plan.fault_type], f"{self.key}/{position}"
            placed.append(PlacedFault(kind, again, 0.5, starts[position], seed))
        return tuple(placed)

    def _choose_listed(self, world: World, reach: dict[str, float]) -> list[ListedPlace | None]:
        """Return a change to place each fault on, or None for a fault without one."""
        listed: list[ListedPlace | None] = []
        for position, plan in enumerate(self.plans):
            if plan.origin is Origin.UNLISTED:
                if not list_places(world, plan, reach, self._excluded_services(world, plan)):
                    raise UnsuitableDrawError("no place fits the planned faults")
                listed.append(None)
                continue
            excluded = self._excluded_services(world, plan)
            excluded |= {found.place.service for found in listed if found is not None}
            slot_number = LISTED_SLOTS * (position + 1)
            found = find_listed_place(
                self.draws, self._make_changes, world, plan, reach, excluded, slot_number
            )
            if found is None and plan.origin is not None:
                raise UnsuitableDrawError("no change fits the planned faults")
            listed.append(found)
        return listed

    def _excluded_services(self, world: World, plan: FaultPlan) -> set[str]:
        if self.level.name == "rung_2" and plan.fault_type != TRAFFIC:
            return {entry.name for entry in world.entries}
        return set()

    def _make_changes(self, world: World, slots: dict[int, ChangeSlot]) -> dict[int, Change]:
        maker = ChangeMaker(self.key, world, self.spec.wording, self.level.partial_chance)
        changes = maker.make_all(list(slots.values()))
        for change in changes.values():
            world.add_change(change)
        return changes

    def _choose_places(
        self, world: World, reach: dict[str, float], listed: list[ListedPlace | None]
    ) -> list[Place] | None:
        """Return a place for each planned fault, or None if one has none."""
        services = {found.place.service for found in listed if found is not None}
        chosen: list[Place] = []
        for plan, found in zip(self.plans, listed, strict=True):
            if found is not None:
                chosen.append(found.place)
                continue
            excluded = services | self._excluded_services(world, plan)
            places = [p for p in list_places(world, plan, reach, excluded) if p.change is None]
            if not places:
                return None
            place = choose_place(self.draws, places)
            services.add(place.service)
            chosen.append(place)
        return chosen

    def _draw_start(self, position: int) -> int:
        """Return the first tick of a fault without a change."""
        if self._is_latent(position):
            return 3 - self.draws.integer_below(8)
        return LONGEST_ONSET + self.draws.integer_below(SHORTEST_ONSET - LONGEST_ONSET + 1)

    def _is_latent(self, position: int) -> bool:
        """Return whether a further fault, which no listed change brought, begins about now."""
        if position == 0 or self.plans[position].origin is not Origin.UNLISTED:
            return False
        draws = BitStream(f"{self.spec.identity}/latent/{position}")
        return draws.uniform() < self.level.latent_chance

    def _add_bystanders(self, world: World, roots: set[str]) -> None:
        count = self.draws.integer_below(self.level.bystanders + 1)
        excluded = set(roots)
        for _ in range(count):
            found = draw_bystander(self.draws, world, excluded)
            if found is not None:
                excluded.add(found.service)
                world.add_fault(found)
        innocent = [s.name for s in world.ordered if s.name not in roots]
        if roots and self.draws.uniform() < self.level.advice_chance:
            root = self.draws.choose(sorted(roots))
            near = [name for name in find_ancestors(world, root) if name in innocent]
            world.add_fault(draw_advice(self.draws, root, near or innocent))

    # Severity and checks.

    def _find_sizes(
        self, search: SeveritySearch, placed: tuple[PlacedFault, ...]
    ) -> tuple[PlacedFault, ...]:
        stored = self.spec.stored
        if stored is not None:
            return tuple(
                replace(item, size=size) for item, size in zip(placed, stored.sizes, strict=True)
            )
        found = []
        for position, item in enumerate(placed):
            if position == 0:
                found.append(search.find_main_size(item, self.draws))
            else:
                is_latent = self._is_latent(position)
                found.append(search.find_further_size(item, is_latent=is_latent))
        return tuple(found)

    def _check_harm(self, world: World) -> None:
        if self.is_false_alert:
            if world.harm > 0.0:
                raise UnsuitableDrawError("customers are hurt without a fault")
        elif not MIN_HARM <= world.harm <= MAX_HARM:
            raise UnsuitableDrawError(f"harm {world.harm:.3f} at the reset")

    def _check_alerts(self, task: DrawnTask) -> None:
        alerts = merge_alerts(task, list_alerts(task.view(task.world)))
        if not alerts:
            raise UnsuitableDrawError("nothing alerts at the reset")
        named = {alert.service_name for alert in alerts}
        for item in task.placed:
            if self.level.name == "rung_1" and item.place.service not in named:
                raise UnsuitableDrawError("the alert does not name the faulty service")
            callers = set(task.world.callers[item.place.service])
            if self.level.name == "rung_2" and callers and not callers & named:
                raise UnsuitableDrawError("the alert does not name a caller")


def has_legal_target(world: World, placed: Sequence[PlacedFault]) -> bool:
    """Return whether existing clients let a model act on a faulty service at the reset."""
    names = {name for item in placed for name in (item.place.service, item.place.callee) if name}
    services = [world.services[name] for name in sorted(names)]
    return any(is_active_for_clients(build_service_map(world, s, ())) for s in services)


def _find_again(world: World, plan: FaultPlan, place: Place, change: Change | None) -> Place:
    """Return the place after changes were moved, with its change as it is now."""
    for found in fault_types()[plan.fault_type].find_places(world):
        is_same = (found.service, found.thing, found.callee, found.origin) == (
            place.service, place.thing, place.callee, place.origin
        )  # fmt: skip
        has_name = change is not None or found.name == place.name
        if is_same and has_name and found.change == change:
            return found
    raise UnsuitableDrawError("a moved change took the place")


def _check_repairs(world: World, pairs: Sequence[tuple[FaultType, Fault]]) -> None:
    try:
        plan_repairs(world, pairs, 2)
    except ValueError as problem:
        raise UnsuitableDrawError(str(problem)) from None


def _draw_reset_time(draws: BitStream) -> datetime:
    day = datetime(2026, 3, 2, tzinfo=timezone.utc)  # noqa: UP017
    return day + timedelta(minutes=draws.integer_below(28 * 24 * 60))
