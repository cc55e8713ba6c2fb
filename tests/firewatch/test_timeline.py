"""Sessions that play one task side by side share its world, and nobody notices."""

from __future__ import annotations

import gc
import random
import weakref
from typing import Any

import pytest

from firewatch_env import timeline
from firewatch_env.actions import Outcome, act
from firewatch_env.engine.world import World
from firewatch_env.evidence.alerts import fire
from firewatch_env.session import Reply, Session
from firewatch_env.tasks import task as tasks
from firewatch_env.tasks.book import named_task
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import Task

TASK = named_task(NAMED["task_easy_cpu_throttling"])
OTHER = named_task(NAMED["task_hard_multiteam_dual_fault"])
LOOKS = ("fetch_logs", "get_metrics_detail", "trace_dependencies", "escalate", "thread_dump")
CHANGES = ("restart_service", "revert_config", "scale_replicas", "rollback_canary")


def a_session(task: Task) -> Session:
    return Session(lambda _: task, lambda _: (10.0, 1.0))


def moves(draws: random.Random, task: Task, until_change: int) -> list[dict[str, Any]]:
    """Looks, and from some tick on changes as well."""
    return [
        {
            "action_type": draws.choice(LOOKS if tick < until_change else LOOKS + CHANGES),
            "target_service": draws.choice(task.services),
        }
        for tick in range(task.max_ticks)
    ]


def worlds(sessions: list[Session]) -> int:
    """How many worlds there are among sessions."""
    plays = [session._play for session in sessions]
    return len({id(play.world) for play in plays if play is not None})


@pytest.mark.parametrize("task", [TASK, OTHER], ids=["five services", "eleven"])
def test_plays_side_by_side_are_answered_as_each_alone(task: Task) -> None:
    draws = random.Random(task.task_id)
    plans = [moves(draws, task, draws.choice((0, 3, 9, 99))) for _ in range(6)]
    alone: list[list[Reply]] = []
    for plan in plans:
        session = a_session(task)
        alone.append([session.reset(), *map(session.step, plan)])
    sessions = [a_session(task) for _ in plans]
    together = [[session.reset()] for session in sessions]
    assert worlds(sessions) == 1
    left = [number for number, plan in enumerate(plans) for _ in plan]
    draws.shuffle(left)  # some run ahead, by more than what is kept for those behind
    places = [0] * len(plans)
    for number in left:
        together[number].append(sessions[number].step(plans[number][places[number]]))
        places[number] += 1
    assert together == alone
    assert len({repr(replies[-1]) for replies in together}) > 1


def test_those_who_look_share_a_world_until_they_act(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Task] = []

    def counted(task: Task) -> Any:
        opened.append(task)
        return tasks.open_world(task)

    monkeypatch.setattr(timeline, "open_world", counted)
    sessions = [a_session(TASK) for _ in range(4)]
    for session in sessions:
        session.reset()
    for look in ("fetch_logs", "thread_dump"):
        for session in sessions:
            session.step({"action_type": look, "target_service": TASK.entry})
        assert worlds(sessions) == 1
    sessions[0].step({"action_type": "restart_service", "target_service": TASK.entry})
    sessions[1].step({"action_type": "escalate"})
    assert worlds(sessions) == 3
    assert len(opened) == 1


def test_whoever_begins_after_a_lone_play_has_gone_on_begins_at_the_beginning() -> None:
    early, late = a_session(TASK), a_session(TASK)
    opening = early.reset()
    early.step({"action_type": "escalate"})
    assert late.reset() == opening
    assert worlds([early, late]) == 2


def test_another_task_with_the_same_sizes_has_a_world_of_its_own() -> None:
    one, other = a_session(TASK), a_session(TASK.without_fault())
    assert one.reset() != other.reset()


def test_what_several_look_at_is_looked_at_once_in_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[tuple[int, str, str | None]] = []

    def watched(world: World, name: str, target: str | None, parameters: Any) -> Outcome:
        looks.append((world.tick, name, target))
        return act(world, name, target, parameters)

    monkeypatch.setattr(timeline, "act", watched)
    sessions = [a_session(TASK) for _ in range(3)]
    for session in sessions:
        session.reset()
    for _ in range(2):
        for session in sessions:
            session.step({"action_type": "fetch_logs", "target_service": TASK.entry})
    assert looks == [(tick, "fetch_logs", TASK.entry) for tick in (1, 2)]
    for session in sessions[1:]:
        session.step({"action_type": "restart_service", "target_service": TASK.entry})
    look = {"action_type": "fetch_logs", "target_service": TASK.entry}
    told = sessions[0].step(look)
    alone = a_session(TASK)
    alone.reset()
    assert [alone.step(look) for _ in range(3)][-1] == told


def test_alerts_are_found_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []

    def watched(*arguments: Any) -> Any:
        held.append(timeline._lock.locked())
        return fire(*arguments)

    monkeypatch.setattr(timeline, "fire", watched)
    sessions = [a_session(TASK) for _ in range(2)]
    for session in sessions:
        session.reset()
    for session in sessions:
        session.step({"action_type": "escalate"})
    assert held == [True] * 3  # the first moment twice: who was alone there forgot what was seen


def test_a_timeline_ends_with_its_plays() -> None:
    sessions = [a_session(TASK) for _ in range(3)]
    for session in sessions:
        session.reset()
    for session in sessions:
        for _ in range(timeline._KEPT + 2):
            session.step({"action_type": "escalate"})
    assert sessions[0]._play is not None
    line = weakref.ref(sessions[0]._play.timeline)
    assert len(line()._recent) == timeline._KEPT  # type: ignore[union-attr]
    del sessions[1:], session
    sessions[0].step({"action_type": "escalate"})
    assert not line()._recent  # type: ignore[union-attr]
    sessions.clear()
    gc.collect()
    assert line() is None
