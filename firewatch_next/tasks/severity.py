"""Finds sizes of faults with which the wanted share of customers is hurt at the reset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from firewatch_next.faults.fault_type import Fault, Severity
from firewatch_next.simulation.world import World
from firewatch_next.tasks.task import PlacedFault
from openenv_kit.bitstream import BitStream

MIN_HARM, MAX_HARM = 0.03, 0.6
MIN_TARGET, MAX_TARGET = 0.05, 0.45
TARGET_TOLERANCE = 0.25
MAX_BISECTIONS = 5
OTHER_SIZES = (0.5, 0.2, 0.85, 0.35)
MIN_OWN_HARM = 0.01  # of each further fault by itself
LATENT_TICKS = 14  # a fault that is not felt at the reset hurts that much later
LATENT_HARM = 0.03


class UnsuitableDrawError(Exception):
    """The draw does not give a task of its level. The next attempt may."""


@dataclass
class SeveritySearch:
    """Trial runs of faults in forks of a world before the first cause.

    Attributes:
        base_world: before the first cause. It is not changed.
        trials: number of runs so far.
    """

    base_world: World
    trials: int = field(default=0)

    def find_main_size(self, placed: PlacedFault, draws: BitStream) -> PlacedFault:
        """Return the fault with a size with which it hurts the wanted share at the reset.

        Raises:
            UnsuitableDrawError: no size tried does.
        """
        target = draws.uniform(MIN_TARGET, MAX_TARGET)
        if placed.fault_type.has_smooth_severity:
            return self._bisect(placed, target)
        for size in OTHER_SIZES:
            candidate = replace(placed, size=size)
            if MIN_HARM <= self.measure([candidate], 0) <= MAX_HARM:
                return candidate
        raise UnsuitableDrawError("no size of the first fault fits")

    def _bisect(self, placed: PlacedFault, target: float) -> PlacedFault:
        low, high = 0.0, 1.0
        found: PlacedFault | None = None
        found_distance = 0.0
        for _ in range(MAX_BISECTIONS):
            candidate = replace(placed, size=(low + high) / 2.0)
            harm = self.measure([candidate], 0)
            distance = abs(harm - target)
            if MIN_HARM <= harm <= MAX_HARM and (found is None or distance < found_distance):
                found, found_distance = candidate, distance
            if distance <= TARGET_TOLERANCE * target:
                break
            low, high = (candidate.size, high) if harm < target else (low, candidate.size)
        if found is None:
            raise UnsuitableDrawError("no size of the first fault fits")
        return found

    def find_further_size(self, placed: PlacedFault, *, is_latent: bool) -> PlacedFault:
        """Return a further fault with a size with which it hurts, at the reset or soon after it.

        Raises:
            UnsuitableDrawError: no size tried does.
        """
        for size in OTHER_SIZES:
            candidate = replace(placed, size=size)
            harm = self.measure([candidate], 0)
            if harm > MAX_HARM:
                continue
            if not is_latent and harm >= MIN_OWN_HARM:
                return candidate
            is_calm = is_latent and harm < MIN_OWN_HARM
            if is_calm and self.measure([candidate], LATENT_TICKS) >= LATENT_HARM:
                return candidate
        raise UnsuitableDrawError("no size of a further fault fits")

    def measure(self, placed: Sequence[PlacedFault], tick: int) -> float:
        """Return the harm at a tick with these faults only."""
        self.trials += 1
        world = self.base_world.fork()
        world.records_history = False
        start_faults(world, placed)
        world.advance_to(tick)
        return world.harm


def start_faults(world: World, placed: Sequence[PlacedFault]) -> list[Fault]:
    """Let faults begin in a world before their causes, and return them."""
    faults = []
    for item in placed:
        severity = Severity(item.size, item.start_tick, item.seed)
        fault = item.fault_type.start(world, item.place, severity)
        old, new = item.place.change, fault.change
        if old is not None and new is not None and new != old:
            world.replace_change(old, new)
        faults.append(fault)
    for fault in faults:
        world.add_fault(fault)
    return faults
