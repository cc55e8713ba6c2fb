"""The grade: what customers went through, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from firewatch_env.grade import closure, impact
from firewatch_env.policies.drive import drive
from firewatch_env.policies.par import par
from firewatch_env.policies.reference import reference
from firewatch_env.policies.seen import Script, Seen, order
from firewatch_env.session import Reply, Session
from firewatch_env.tasks.book import find
from firewatch_env.tasks.task import POWERS

TASK = "task_easy_alert_fatigue"


def play(script: Any, task_id: str = TASK) -> Reply:
    return drive(Session(find, par), script, task_id=task_id)


def with_extra(*extra: dict[str, Any]) -> Any:
    def script(seen: Seen) -> Script:
        for action in extra:
            seen = yield action
        yield from reference(seen)

    return script


def test_the_reference_earns_everything() -> None:
    reply = play(reference)
    assert reply.observation["episode_score"] == 1.0
    assert reply.info["score_parts"]["recovered"] is True
    assert reply.observation["mttm_achieved_tick"] is not None


def test_waiting_costs_and_more_of_it_costs_more() -> None:
    waits = [with_extra(*[order("escalate")] * n) for n in (0, 3, 6)]
    scores = [play(wait).observation["episode_score"] for wait in waits]
    assert scores[0] > scores[1] > scores[2] > 0


def test_a_change_that_helped_nobody_costs_a_quarter() -> None:
    target = sorted(Session(find, par).reset(task_id=TASK).observation["services"])[0]
    parts = play(with_extra(order("restart_service", target))).info["score_parts"]
    assert (parts["unneeded"], parts["precision"]) == (1, 0.75)


def test_an_attempt_that_found_nothing_costs_as_much() -> None:
    target = sorted(Session(find, par).reset(task_id=TASK).observation["services"])[0]
    parts = play(with_extra(order("force_ntp_sync", target))).info["score_parts"]
    assert parts["unneeded"] == 1


def test_an_experiment_that_helped_nobody_costs_once_although_it_is_put_back() -> None:
    target = sorted(Session(find, par).reset(task_id=TASK).observation["services"])[0]
    parts = play(
        with_extra(
            order("traffic_shift", target), order("traffic_shift", target, drain_percentage=0)
        )
    ).info["score_parts"]
    assert (parts["unneeded"], parts["precision"]) == (1, 0.75)
    assert parts["impact"] < 1


@pytest.mark.parametrize(
    ("action", "target"), [("rollback_deploy", "cart-api"), ("revert_config", "edge-mesh")]
)
def test_a_wrong_change_that_is_brought_back_costs_once(action: str, target: str) -> None:
    wrong = [order(action, target), order(action, target, undo=True)]
    assert play(with_extra(*wrong)).info["score_parts"]["unneeded"] == 1


@pytest.mark.parametrize(
    ("task_id", "action", "target"),
    [("task_medium_cascade_memleak", "rollback_deploy", "storefront-api"),
     ("task_medium_mtls_rotation", "revert_config", "banner-api"),
     ("task_medium_ntp_clock_drift", "revert_config", "cart-api")],
)  # fmt: skip
def test_a_wrong_change_that_happened_to_spare_a_little_load_costs_once_it_is_put_back(
    task_id: str, action: str, target: str
) -> None:
    waits = [order("escalate")] * 6
    wrong = [order(action, target), *waits, order(action, target, undo=True)]
    assert play(with_extra(*wrong), task_id).info["score_parts"]["unneeded"] == 1


def test_repeating_ones_own_change_is_free() -> None:
    def script(seen: Seen) -> Script:
        yield from with_repeat(reference(seen))

    def with_repeat(inner: Script) -> Script:
        action = next(inner)
        while True:
            seen = yield action
            if action["action_type"] in ("rollback_deploy", "revert_config"):
                seen = yield action
            try:
                action = inner.send(seen)
            except StopIteration:
                return

    assert play(script).info["score_parts"]["unneeded"] == 0


@pytest.mark.parametrize(("changes", "expected"), [(0, 0.0), (1, 0.4)])
def test_declaring_too_early_costs_more_than_half_and_everything_without_a_change(
    changes: int, expected: float
) -> None:
    def script(seen: Seen) -> Script:
        for _ in range(changes):
            yield order("restart_service", seen.entries[0])
        yield order("declare_resolved")

    reply = play(script)
    assert reply.info["score_parts"]["closure"] == expected
    assert reply.observation["episode_score"] == 0


def test_a_false_alarm_is_best_left_alone_until_it_is_known_to_be_one() -> None:
    task_id = "task_medium_canary_false_alert"
    assert play(reference, task_id).observation["episode_score"] == 1.0

    def at_once(seen: Seen) -> Script:
        yield order("declare_resolved")

    def never(seen: Seen) -> Script:
        while True:
            yield order("escalate")

    assert play(at_once, task_id).observation["episode_score"] == 0.0
    assert play(never, task_id).observation["episode_score"] == 0.0


def test_nothing_was_mitigated_where_no_customer_was_hurt() -> None:
    session = Session(find, par)
    session.reset(task_id="task_medium_canary_false_alert")
    entry = Seen(session.step(order("escalate")).observation, {}).entries[0]
    reply = session.step(order("extend_timeout", entry))
    assert (session.changes() != (), reply.observation["bad_customer_minutes"]) == (True, 0)
    assert reply.observation["mttm_achieved_tick"] is None


def test_more_than_twelve_changes_leave_the_least_precision() -> None:
    target = sorted(Session(find, par).reset(task_id=TASK).observation["services"])[0]
    changes = [order("circuit_break" if n % 2 else "restart_service", target) for n in range(13)]
    changes = [order("restart_service", target) for _ in changes]
    assert play(with_extra(*changes)).info["score_parts"]["precision"] == 0.3


@pytest.mark.parametrize(
    ("harms", "expected"),
    [((10, 4, 4), 1.0), ((10, 10, 4), 0.0), ((10, 12, 4), 0.0), ((10, 7, 4), 0.5),
     ((10, 2, 4), 1.0), ((0, 0, 0), 1.0), ((0, 1, 0), 0.0), ((4, 4, 4), 0.0)],
)  # fmt: skip
def test_impact(harms: tuple[float, float, float], expected: float) -> None:
    assert impact(*harms, 1) == pytest.approx(expected)


def test_the_harder_a_task_the_more_a_tick_of_harm_costs() -> None:
    assert [impact(10, 5, 4, power) for power in (1, 3, 5)] == pytest.approx(
        [5 / 6, (5 / 6) ** 3, (5 / 6) ** 5]
    )
    assert POWERS["easy"] < POWERS["medium"] < POWERS["hard"]
    assert [impact(10, harm, 4, 5) for harm in (4, 10)] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("state", "expected"),
    [((True, True, True, True), 1.0), ((True, False, True, True), 0.4),
     ((True, True, False, True), 0.4), ((True, True, True, False), 1.0),
     ((True, False, True, False), 0.0), ((False, True, True, True), 0.9),
     ((False, True, False, True), 0.6), ((False, True, True, False), 0.0)],
)  # fmt: skip
def test_closure(state: tuple[bool, bool, bool, bool], expected: float) -> None:
    assert closure(*state) == expected
