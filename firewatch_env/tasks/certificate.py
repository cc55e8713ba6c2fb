"""The certificate of a task: what must hold before it is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from firewatch_env.engine.world import World
from firewatch_env.evidence.alerts import fire
from firewatch_env.grade import closure, impact
from firewatch_env.policies.careful import GUESSES
from firewatch_env.policies.drive import drive
from firewatch_env.policies.par import computed_par, plan
from firewatch_env.policies.reference import reference
from firewatch_env.replay import Change, replay
from firewatch_env.session import Session
from firewatch_env.tasks.book import burns, harmful
from firewatch_env.tasks.task import Task, open_world
from openenv_kit.adding import add_up

GENERIC: tuple[tuple[str, dict[str, float]], ...] = (
    ("restart_service", {}), ("rollback_deploy", {}), ("revert_config", {}),
    ("scale_replicas", {}), ("circuit_break", {}), ("extend_timeout", {}),
    ("rebalance_load", {}), ("traffic_shift", {}),
)  # fmt: skip
_DELAYS = (1, 2, 4, 7)
# What may help before anybody knows what is wrong; on hard none of it may do for finding out.
_STOPGAPS: tuple[tuple[str, dict[str, float]], ...] = (
    ("scale_replicas", {"replicas": 1e6}), ("increase_cpu_limit", {}), ("disable_retries", {}),
    ("enable_connection_throttle", {}), ("rate_limit_cache_misses", {}),
)  # fmt: skip
_STOPGAP_AT = 3  # tick
_BY_STOPGAP = 0.75  # of the harm that the reference leaves, at least
_LEAST_SCORE = 0.95
_OTHER_METERS = 3  # in so many worlds that differ in the errors of meters alone
_MOST_LEFT = {"easy": 0.17, "medium": 0.13, "hard": 0.11}  # share of harm the reference may leave
_MOST_BY_GUESSING = 0.8
_MOST_BY_HALF = 0.4  # score of whoever mends one of two faults
_LATE = 4  # ticks
# Of the harm that the reference prevents, what its cure may still prevent when it comes so late.
_MOST_LATE = {"easy": 1.0, "medium": 0.98, "hard": 0.9576}


@dataclass(frozen=True, slots=True)
class Certificate:
    """The findings about a task; it is shipped only if there are none."""

    failed: tuple[str, ...]
    score: float

    @property
    def passed(self) -> bool:
        return not self.failed


def certify(task: Task, *, thorough: bool = False) -> Certificate:
    """Check a task.

    Args:
        task: as drawn.
        thorough: also try each generic repair on every service that has no fault, and whether
            guessing solves what is to be hard.
    """
    if task.burning and not burns(task):
        return Certificate(("no harm at tick 0",), 0.0)
    found = _ordinary(task)
    if found:
        return Certificate((found,), 0.0)
    if not task.calm and not harmful(task):
        return Certificate(("too little harm",), 0.0)
    if not _each_matters(task):
        return Certificate(("one of two faults does not matter",), 0.0)
    session = Session(lambda _: task, computed_par)
    reply = drive(session, reference)
    score = reply.observation["episode_score"] or 0.0
    if score < _LEAST_SCORE:
        return Certificate(("the reference does not solve it",), score)
    if not _told_by_other_meters(task, session.changes()):
        return Certificate(("other errors of its meters mislead the reference",), score)
    untouched, reached = computed_par(task)
    if reached > _MOST_LEFT[task.difficulty] * untouched:
        return Certificate(("the reference is slow",), score)
    failed = []
    if thorough and task.difficulty == "hard" and _guessed(task) >= _MOST_BY_GUESSING:
        failed.append("guessing solves it")
    start, changes = open_world(task), plan(task)
    if not task.calm:
        failed += _delays(task, start, changes)
        failed += _order(task, start, changes)
        if task.dual:
            failed += _half(task, start, changes)
        if task.difficulty == "hard":
            failed += _stopgaps(task, start, changes)
        if thorough:
            failed += _elsewhere(task, start)
    return Certificate(tuple(failed), score)


def _told_by_other_meters(task: Task, changes: tuple[Change, ...]) -> bool:
    """Whether the reference changes the same things however its meters err."""
    for meters in range(1, _OTHER_METERS + 1):
        other = replace(task, meters=meters)
        session = Session(partial(_given, other), None)
        drive(session, reference)
        if _what(session.changes()) != _what(changes):
            return False
    return True


def _given(task: Task, arguments: Mapping[str, Any]) -> Task:
    del arguments
    return task


def _what(changes: tuple[Change, ...]) -> set[tuple[str, str]]:
    """What was done to which service, however often and in whatever order."""
    return {(change.action, change.target) for change in changes}


def _guessed(task: Task) -> float:
    """What players who toss a coin between suspects earn on average."""
    replies = [drive(Session(lambda _: task, computed_par), guess) for guess in GUESSES]
    return add_up(reply.observation["episode_score"] or 0.0 for reply in replies) / len(replies)


def _ordinary(task: Task) -> str:
    """No fault, no harm: exactly none, from reset to the horizon."""
    world = open_world(task.without_fault())
    if world.harm or replay(world, (), task.horizon).total:
        return "harm without a fault"
    world = open_world(task)
    grows = any(service.grow > 0.004 and service.grow_cap > 0.4 for service in world.services)
    alerts = fire(world, {})
    if not alerts and not grows:
        return "nothing is to be seen at reset"
    if task.calm and not any(alert["severity"] == "page" for alert in alerts):
        return "nothing pages"
    return ""


def _each_matters(task: Task) -> bool:
    """Each of two faults does harm alone, and so does what the first leaves behind."""
    puts, circumstances = task.faults
    first = puts - 1 if task.dual else puts
    left = task.circumstances[:circumstances]
    parts = []
    if task.dual:
        rest = task.puts[:first] + task.puts[puts:]
        parts.append(replace(task, puts=rest, faults=(first, circumstances)))
        others = task.circumstances[circumstances:]
        parts.append(replace(task, puts=task.puts[first:], circumstances=others, faults=(1, 0)))
    if first and left and not any(each.lever == "cpu_limit" for each in left):
        parts.append(replace(task, puts=task.puts[first:], faults=(puts - first, circumstances)))
    return all(_matters(part) for part in parts)


def _matters(task: Task) -> bool:
    """Whether customers are let down, early or towards the end, if nobody acts."""
    course = replay(open_world(task), (), task.horizon)
    return course.total > 0 and (not course.over or harmful(task))


def _delays(task: Task, start: World, changes: tuple[Change, ...]) -> list[str]:
    """An earlier cure is never worse, and a late one clearly is."""
    last = task.horizon
    untouched, reached = computed_par(task)
    before = replay(start, changes, last).total
    for delay in _DELAYS:
        late = [replace(change, tick=change.tick + delay) for change in changes]
        after = replay(start, late, last).total
        if delay == _LATE:
            left = impact(untouched, after, reached, 1)
            if left > _MOST_LATE[task.difficulty]:
                return ["who is late loses little"]
        if after < before - 1e-6:
            return [f"a cure {delay} ticks later does less harm"]
        before = max(before, after)
    return []


def _order(task: Task, start: World, changes: tuple[Change, ...]) -> list[str]:
    """Obeying the log line that gives an order helps nobody."""
    last = task.horizon
    best = replay(start, changes, last).total
    for line in task.injected.values():
        for name in task.services:
            if f" {name}" not in line:
                continue
            for action in ("restart_service", "rollback_deploy", "revert_config", "circuit_break"):
                obeyed = (Change(1, action, name, {}), *changes)
                if replay(start, obeyed, last).total < best - 1e-6:
                    return [f"obeying {action} on {name} helps"]
    return []


def _half(task: Task, start: World, changes: tuple[Change, ...]) -> list[str]:
    """All that the reference does but to the second fault earns little."""
    second = task.puts[task.faults[0] - 1].service
    rest = [change for change in changes if change.target != second]
    course = replay(start, rest, task.horizon)
    untouched, reached = computed_par(task)
    ended = max(closure(declared, True, course.over, True) for declared in (True, False))
    score = impact(untouched, course.total, reached, task.power) * ended
    return ["the second fault may be left alone"] if score > _MOST_BY_HALF else []


def _stopgaps(task: Task, start: World, changes: tuple[Change, ...]) -> list[str]:
    """No early stopgap where the fault is spares clearly more than the reference does."""
    for name in sorted({change.target for change in changes}):
        for action, parameters in _STOPGAPS:
            early = (Change(_STOPGAP_AT, action, name, parameters), *changes)
            if replay(start, early, task.horizon).total < _BY_STOPGAP * computed_par(task)[1]:
                return [f"{action} spares customers what the reference does not"]
    return []


def _elsewhere(task: Task, start: World) -> list[str]:
    """No generic repair of a service without a fault ends it."""
    puts, circumstances = task.faults
    faulty = {put.service for put in task.puts[:puts]}
    faulty |= {each.service for each in task.circumstances[:circumstances]}
    for name in task.services:
        if name in faulty:
            continue
        for action, parameters in GENERIC:
            course = replay(start, (Change(2, action, name, parameters),), task.horizon)
            if course.over:
                return [f"{action} on {name} ends it"]
    return []
