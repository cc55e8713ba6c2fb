"""The certified repairs of a task as timed calls, and the harm that remains with them."""

from __future__ import annotations

from collections.abc import Sequence

from firewatch_next.faults.fault_type import Fault, FaultType
from firewatch_next.grading.replay import TimedCall, run_calls
from firewatch_next.grading.score import Reference
from firewatch_next.simulation.world import World

# Tick of the first certified repair by level; players need some ticks to look.
PAR_START_TICKS = {
    "rung_1": 2, "rung_2": 2, "easy": 3, "medium": 5, "hard": 8, "expert": 10,
}  # fmt: skip


def plan_repairs(
    world: World, faults: Sequence[tuple[FaultType, Fault]], first_tick: int
) -> list[TimedCall]:
    """Return the repairs of all faults in turn, each after the one before has taken effect.

    For each fault it is the first repair whose steps all apply.

    Raises:
        ValueError: if no repair applies to a fault.
    """
    calls = []
    tick = first_tick
    for fault_type, fault in faults:
        for steps in fault_type.repairs:
            found = [step.make_call(world, fault) for step in steps]
            if any(call is None for call in found):
                continue
            for step, call in zip(steps, found, strict=True):
                assert call is not None
                calls.append(TimedCall(tick, call))
                tick += step.wait_ticks
            break
        else:
            raise ValueError(f"no repair of {fault_type.name} applies at {fault.place}")
    return calls


def measure_reference(
    world: World, faults: Sequence[tuple[FaultType, Fault]], level: str, level_ticks: int
) -> Reference:
    """Return the harm of a task if nobody acts and with its certified repairs.

    Args:
        world: at the reset. It is not changed.
        faults: empty for a false alert.
        level: name of the level in `PAR_START_TICKS`.
        level_ticks: number of steps of an episode.
    """
    harm_none = run_calls(world, [], level_ticks).harm
    if not faults:
        return Reference(harm_none, harm_none, is_false_alert=True)
    calls = plan_repairs(world, faults, PAR_START_TICKS[level])
    return Reference(harm_none, run_calls(world, calls, level_ticks).harm)
