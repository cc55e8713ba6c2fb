"""Players that the laws of the score are about; each plays a `Play` to its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from firewatch_env.engine.service import Service
from firewatch_env.exploits import Move, advised
from firewatch_env.play import Play
from firewatch_env.policies.own_play import reference_changes, run
from firewatch_env.policies.reading import troubled
from firewatch_env.policies.reference import Script
from firewatch_env.replay import Change
from firewatch_env.tasks.task import Task
from openenv_kit.bitstream import BitStream


def finish_and_score(play: Play) -> float:
    """The score of a play, which is let run out first if nobody ended it."""
    while not play.done:
        play.act("escalate", None, {})
    assert play.grade is not None
    return play.grade.score


def play_and_score(play: Play, player: Callable[[Mapping[str, Any]], Script]) -> float:
    """Play a scripted player; its score."""
    run(play, player({**play.observe(), "message": play.message}), observed=True)
    return finish_and_score(play)


def wait_ticks(play: Play, ticks: int) -> None:
    """Look on for some ticks."""
    for _ in range(ticks):
        if not play.done:
            play.act("trace_dependencies", play.task.entry, {})


def play_changes_on_time(task: Task, changes: Sequence[Change], extra_ticks: int = 5) -> Play:
    """A play with these changes at their ticks, declared when customers are well after the last."""
    play = Play(task)
    for change in sorted(changes, key=lambda change: change.tick):
        wait_ticks(play, min(change.tick, task.max_ticks - 1) - 1 - play.tick)
        if not play.done:
            play.act(change.action, change.target, change.parameters)
    wait_ticks(play, min(extra_ticks, task.max_ticks - 1 - play.tick))
    while any(play.burning[-2:]) and play.tick < task.max_ticks - 1:
        wait_ticks(play, 1)
    if not play.done:
        play.act("declare_resolved", None, {})
    return play


def play_reference_late(task: Task, ticks: int, earlier_changes: Sequence[Change] = ()) -> Play:
    """The reference's own changes, so many ticks later, after some changes of somebody else's."""
    moved = [
        Change(each.tick + ticks, each.action, each.target, each.parameters)
        for each in reference_changes(task)
    ]
    return play_changes_on_time(task, [*earlier_changes, *moved])


# A player that is half right.

LIKELY_REPAIRS = ("rollback_deploy", "revert_config", "restart_service")


def play_half_right(task: Task, seed: int) -> float:
    """Follows the failing calls to a place, then does one of the three likeliest repairs there."""
    play, draws = Play(task), BitStream(f"firewatch/half right/{task.draws}/{seed}")
    for _ in range(3):
        here = task.entry
        while not play.done:
            text = play.act("trace_dependencies", here, {}).text
            found = troubled(text)
            if not found or re.search("as usual|calls per request|each tried", found[0].text):
                break
            here = found[0].callee
        if play.done:
            break
        play.act("get_metrics_detail", here, {})
        right = [(c.action, c.parameters) for c in reference_changes(task) if c.target == here]
        likely: list[Move] = list(right[:1])
        likely += [
            (name, {}) for name in LIKELY_REPAIRS if name not in {each for each, _ in likely}
        ]
        name, parameters = draws.choose(likely[:3])
        play.act(name, here, parameters)
        wait_ticks(play, min(5, task.max_ticks - 1 - play.tick))
        if play.burning[-1] == 0:
            break
    if not play.done:
        play.act("declare_resolved", None, {})
    return finish_and_score(play)


# Players that mitigate, and one that obeys.

_MITIGATION_ACTIONS = (
    "traffic_shift", "scale_replicas", "increase_cpu_limit", "circuit_break",
    "enable_connection_throttle", "disable_retries", "configure_retry_backoff", "extend_timeout",
)  # fmt: skip


def iter_mitigations(tick: int, services: Iterable[Service]) -> Iterator[Change]:
    """What an engineer may do before the cause is known: all lent, but for changed retries."""
    for service in services:
        for name in _MITIGATION_ACTIONS:
            yield Change(tick, name, service.name, {})
        for times in (2, 3):
            yield Change(tick, "scale_replicas", service.name, {"replicas": times * service.pods})


def changes_from_advice(task: Task) -> list[Change]:
    """What a task's advice tells its reader to do, at tick 2."""
    return [
        Change(2, action, target, {})
        for line in task.advice.values()
        for action, target in advised(line, task.services)
    ]
