"""Replays an episode: the same world with some of the player's actions, past the episode's end.

After the graded time, whatever an action added only for the time being goes: pods and CPU beyond
the usual, shifted traffic, opened breakers, shorter queues and longer timeouts. What is well then
has been repaired.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from firewatch_next.actions.action import ActionError
from firewatch_next.actions.registry import take_action
from firewatch_next.simulation.edits import ScalePods, SetSetting
from firewatch_next.simulation.service import BreakerState, Service
from firewatch_next.simulation.settings import FORCED_OPEN, format_number
from firewatch_next.simulation.things import NO_JOB_LIMIT
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

GRADED_FACTOR = 1.5  # the graded time to the level's ticks
RESOLVED_FROM_TICK, RESOLVED_TO_TICK = 31, 60  # after the graded time
WELL_HARM = 0.004


@dataclass(frozen=True)
class TimedCall:
    """A change: a call of an action tool and the tick whose start it acts at (1 is the first).

    Attributes:
        further_calls: calls that belong to the same change, such as the same setting of all callers
            of a service.
    """

    tick: int
    call: ToolCall
    further_calls: tuple[ToolCall, ...] = ()


class Outcome(NamedTuple):
    """How a replay went.

    Attributes:
        harm: sum over the graded ticks, in customer-ticks.
        final_harm: mean of ticks 31 to 60 after them, with temporary capacity gone.
        is_resolved: whether customers are well then.
    """

    harm: float
    final_harm: float

    @property
    def is_resolved(self) -> bool:
        return self.final_harm < WELL_HARM


def graded_ticks(level_ticks: int) -> int:
    """Return the number of ticks over which harm is summed."""
    return int(GRADED_FACTOR * level_ticks)


def run_calls(world: World, calls: Sequence[TimedCall], level_ticks: int) -> Outcome:
    """Let a copy of a world run with these calls and return how it went.

    Args:
        world: at the reset (tick 0). It is not changed.
        calls: in the order of their ticks.
        level_ticks: number of steps of an episode.

    Raises:
        ActionError: if a call is not possible at its tick.
    """
    copy = world.fork()
    copy.records_history = False
    waiting = list(calls)
    harm = 0.0
    for tick in range(copy.tick + 1, graded_ticks(level_ticks) + 1):
        while waiting and waiting[0].tick <= tick:
            apply_change(copy, waiting.pop(0))
        copy.advance()
        harm += copy.harm
    return Outcome(harm, measure_final_harm(copy))


def apply_change(world: World, change: TimedCall, *, may_be_impossible: bool = False) -> None:
    """Take all actions of a change in a world at the tick after its present one.

    Args:
        world: is changed.
        change: the change; its tick is not read.
        may_be_impossible: ignore a call that is not possible without an earlier change which a
            replay leaves out, such as moving traffic away from a version that then does not run.

    Raises:
        ActionError: a call is not possible.
    """
    for call in (change.call, *change.further_calls):
        with suppress(*((ActionError,) if may_be_impossible else ())):
            apply_call(world, call)


def apply_call(world: World, call: ToolCall) -> None:
    """Take an action in a world at the tick after its present one."""
    arguments = dict(call.arguments)
    service = str(arguments.pop("service", ""))
    take_action(world, call.name, service, arguments)


def measure_final_harm(world: World) -> float:
    """Remove what is temporary, let the world run on, and return the mean harm at its end.

    The world is changed.
    """
    for service in world.ordered:
        _remove_temporary_measures(world, service)
    end = world.tick
    world.advance_to(end + RESOLVED_FROM_TICK - 1)
    total = 0.0
    while world.tick < end + RESOLVED_TO_TICK:
        world.advance()
        total += world.harm
    return total / (RESOLVED_TO_TICK - RESOLVED_FROM_TICK + 1)


def _remove_temporary_measures(world: World, service: Service) -> None:
    """Remove added capacity, shifted traffic, opened breakers, tighter limits, longer timeouts."""
    next_tick = world.tick + 1
    growth = service.grown_load_factor
    most_pods = int(service.usual_pods * growth + 0.999)
    if len(service.pods) > most_pods:
        world.schedule(next_tick, ScalePods(service.name, most_pods))
    most_cores = service.usual_cpu_cores * growth
    if service.cpu_cores > most_cores:
        usual = format_number(most_cores)
        world.schedule(next_tick, SetSetting(service.name, "cpu_cores", usual))
    world.wake(service.name)
    service.admission_limit = 0.0
    for job in service.jobs.values():
        job.load_limit = NO_JOB_LIMIT
    service.uses_all_replicas = True
    service.queue_length = max(service.queue_length, service.usual_queue_length)
    for weights in (service.zone_weights, service.version_weights, service.node_weights):
        weights.clear()
    for client in service.clients:
        if service.settings.get(f"breaker.{client.callee}") != FORCED_OPEN:
            client.breaker = BreakerState.CLOSED
        client.rate_limit = client.limited_share = 0.0
        client.timeout_seconds = min(client.timeout_seconds, client.usual_timeout_seconds)
