"""Laws of the score and the certificate, on a small sample of tasks."""

from __future__ import annotations

from functools import lru_cache

import pytest

from firewatch_next.certificate import (
    certify_task,
    plan_certified_repairs,
    score_certified_repairs,
)
from firewatch_next.grading.par import measure_reference
from firewatch_next.grading.replay import TimedCall, run_calls
from firewatch_next.grading.score import PlayedChange, PlayedEpisode, Reference, score_episode
from firewatch_next.session import FirewatchSession
from firewatch_next.simulation.world import World
from firewatch_next.tasks.draw_task import draw_task
from firewatch_next.tasks.task import DrawnTask, TaskSpec

SAMPLE = (("rung_1", 0), ("rung_1", 1), ("easy", 0), ("easy", 1))


@lru_cache(maxsize=8)
def drawn(level: str, number: int) -> DrawnTask:
    return draw_task(TaskSpec(f"{level}-{number}", f"laws/{level}/{number}", level))


@lru_cache(maxsize=8)
def reference_of(level: str, number: int) -> Reference:
    task = drawn(level, number)
    return measure_reference(task.world, task.faults, level, task.spec.level.ticks)


def score_play(level: str, number: int, calls: list[TimedCall], declared_tick: int | None) -> float:
    task = drawn(level, number)
    episode = PlayedEpisode(
        task.world, tuple(PlayedChange(call) for call in calls), declared_tick,
        task.spec.level.ticks,
    )  # fmt: skip
    return score_episode(episode, reference_of(level, number)).score


@pytest.mark.parametrize(("level", "number"), SAMPLE)
def test_task_of_the_sample_is_certified(level: str, number: int) -> None:
    assert certify_task(drawn(level, number)).list_problems() == []


@pytest.mark.parametrize(("level", "number"), SAMPLE)
def test_law_1_doing_nothing_scores_0_and_declaring_at_once_little(level: str, number: int) -> None:
    assert score_play(level, number, [], None) == 0.0
    assert score_play(level, number, [], 1) <= 0.07


def test_law_3_later_repairs_score_less() -> None:
    means = [
        sum(score_certified_repairs(drawn(*key), delay_ticks=delay).score for key in SAMPLE) / 4.0
        for delay in (0, 4)
    ]
    assert means[0] > means[1] > 0.5 * means[0]


@pytest.mark.parametrize(("level", "number"), SAMPLE)
def test_law_4_repairs_at_the_last_moment_still_resolve(level: str, number: int) -> None:
    task = drawn(level, number)
    repairs = plan_certified_repairs(task)
    last = task.spec.level.ticks
    delay = last - max(timed.tick for timed in repairs)
    calls = [TimedCall(timed.tick + delay, timed.call) for timed in repairs]
    assert score_play(level, number, calls, last) >= 0.55


@pytest.mark.parametrize(("level", "number"), SAMPLE)
def test_law_5_a_mitigation_alone_does_not_resolve(level: str, number: int) -> None:
    task = drawn(level, number)
    for fault_type, fault in task.faults:
        for mitigation in fault_type.mitigations:
            call = mitigation.make_call(task.world, fault)
            if call is not None:
                outcome = run_calls(task.world, [TimedCall(2, call)], task.spec.level.ticks)
                assert not outcome.is_resolved, mitigation.name


def test_law_8_rewards_add_up_to_the_score_whatever_follows() -> None:
    session = FirewatchSession(lambda _: drawn("rung_1", 0))
    session.reset()
    rewards = [session.step({"action_type": "escalate"}).reward for _ in range(3)]
    end = session.step({"action_type": "declare_resolved"})
    rewards.append(end.reward)
    rewards += [session.step({"action_type": "escalate"}).reward for _ in range(3)]
    assert sum(reward or 0.0 for reward in rewards) == end.observation_fields["episode_score"]


def test_law_10_rows_are_equal_without_the_calm_shortcut() -> None:
    task = drawn("easy", 0)
    fast, full = task.world.fork(), task.world.fork()
    full.uses_calm_shortcut = False
    for world in (fast, full):
        world.advance_to(6)
    assert _rows_of(fast) == pytest.approx(_rows_of(full), rel=1e-3, abs=1e-4)


def _rows_of(world: World) -> list[float]:
    return [
        value for name in world.services for value in world.history.service_values(name, world.tick)
    ]
