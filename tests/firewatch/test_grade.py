"""The score: over for good, harm spared, and nothing that was not needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from firewatch_env.grade import Checkpoint, _half, impact, precision, resolved
from firewatch_env.play import Play
from firewatch_env.policies.own_play import reference_changes, run
from firewatch_env.policies.reference import reference
from firewatch_env.replay import Change
from firewatch_env.tasks.book import find
from research.firewatch.players import finish_and_score, play_changes_on_time, wait_ticks

TASK = {"task_id": "task_easy_alert_fatigue"}


def after(*extra: tuple[str, str, dict[str, Any]], wait_for: int = 0, task: Any = None) -> Play:
    """A play of the reference after some changes of somebody else's."""
    play = Play(find(task or TASK))
    opening = play.message
    wait_ticks(play, wait_for)
    for name, target, parameters in extra:
        play.act(name, target, parameters)
    run(play, reference({"message": opening}))
    return play


def parts(play: Play) -> dict[str, Any]:
    assert play.grade is not None
    return play.grade.parts()


def test_the_reference_earns_everything_and_had_looked_before_it_acted() -> None:
    play = after()
    assert finish_and_score(play) == 1.0
    assert parts(play)["grounded"] == 1.0
    assert parts(play)["ticks_to_resolve"] is not None


def test_a_breaker_was_looked_at_by_who_looked_at_its_caller() -> None:
    play = after(task={"task_id": "task_medium_circuit_breaker_masking"})
    (change,) = [step.change for step in play.steps]
    assert change.action == "circuit_break"
    assert all(target != change.target for _, target in play.looked)
    assert parts(play)["grounded"] == 1.0


def test_waiting_costs_a_little_and_more_of_it_costs_more() -> None:
    scores = [finish_and_score(after(wait_for=ticks)) for ticks in (0, 3, 6)]
    assert 1.0 == scores[0] > scores[1] > scores[2] > 0.85


def test_a_change_that_helped_nobody_costs_a_quarter_and_so_does_an_empty_one() -> None:
    for name in ("restart_service", "force_ntp_sync"):
        found = parts(after((name, find(TASK).entry, {})))
        assert (found["unneeded"], found["precision"]) == (1, 0.75)


def test_an_experiment_costs_once_although_it_is_put_back() -> None:
    entry = find(TASK).entry
    undone = parts(
        after(("traffic_shift", entry, {}), ("traffic_shift", entry, {"drain_percentage": 0}))
    )
    assert undone["unneeded"] == 1


def test_pods_to_the_sky_are_not_needed() -> None:
    """Twice the pods are enough here; three times as many are a needless change."""
    task = find({"task_id": "task_easy_log_debug_disk"})
    (change,) = reference_changes(task)
    unneeded = []
    for times in (2.0, 1000):
        play = Play(task)
        pods = play.world.by_name[change.target].pods * times
        play.act("scale_replicas", change.target, {"replicas": pods})
        wait_ticks(play, 17)
        play.act("declare_resolved", None, {})
        assert parts(play)["resolved"] == 0, "what is lent is taken back"
        unneeded.append(parts(play)["unneeded"])
    assert unneeded == [0, 1]


@pytest.mark.parametrize(
    ("times", "fewer"), [(1.4, None), (1.5, None), (1.6, 13), (1.8, 14), (3.0, 20)]
)
def test_half_of_the_pods_beyond_half_as_many_again_has_to_be_needed(
    times: float, fewer: int | None
) -> None:
    world: Any = SimpleNamespace(by_name={"api": SimpleNamespace(pods=10)})
    change = Change(4, "scale_replicas", "api", {"replicas": 10 * times})
    found = _half(Checkpoint(change, world, 0.0), end=100)
    assert (found and found.parameters["replicas"]) == fewer


def test_a_repair_is_needed_although_a_mitigation_had_ended_the_trouble() -> None:
    """Retries that are switched off end a storm; its cause is mended all the same."""
    task = find({"split": "train", "index": 57})
    (repair,) = reference_changes(task)
    play = Play(task)
    play.act("disable_retries", repair.target, {})
    wait_ticks(play, 6)
    assert play.burning[-1] == 0
    play.act(repair.action, repair.target, repair.parameters)
    play.act("increase_cpu_limit", repair.target, {})
    wait_ticks(play, 3)
    play.act("declare_resolved", None, {})
    assert play.grade is not None
    assert play.grade.needless == (f"increase_cpu_limit {repair.target} (tick 9)",)


@pytest.mark.parametrize("mitigation", ["disable_retries", "circuit_break"])
def test_a_backoff_that_stays_is_needed_although_a_mitigation_had_ended_the_trouble(
    mitigation: str,
) -> None:
    task = find({"task_id": "task_easy_thundering_herd"})
    (repair,) = reference_changes(task)
    play = Play(task)
    play.act(mitigation, repair.target, {})
    wait_ticks(play, 6)
    play.act(repair.action, repair.target, repair.parameters)
    wait_ticks(play, 3)
    play.act("declare_resolved", None, {})
    assert repair.action == "configure_retry_backoff"
    assert play.grade is not None
    assert play.grade.needless == ()


def test_only_a_repair_resolves_and_a_mitigation_spares_harm() -> None:
    task = find({"task_id": "task_hard_partial_infra_asymmetric"})
    place = next(name for name, cause in task.roots if cause == "zone_lost")
    play = Play(task)
    play.act("traffic_shift", place, {})
    wait_ticks(play, 15)
    play.act("declare_resolved", None, {})
    found = parts(play)
    assert (found["resolved"], found["recovered"]) == (0.0, False)
    assert 0 < found["impact"] < 0.6
    assert 0 < finish_and_score(play) < 0.3


def test_over_and_not_declared_is_nine_tenths() -> None:
    play = Play(find(TASK))
    for change in reference_changes(play.task):
        play.act(change.action, change.target, change.parameters)
    wait_ticks(play, 20)
    assert parts(play)["resolved"] == 0.9


def test_a_false_alert_is_declared_and_left_alone() -> None:
    task = find({"task_id": "task_medium_canary_false_alert"})
    assert finish_and_score(play_changes_on_time(task, [], extra_ticks=0)) == 1.0
    idle = Play(task)
    assert finish_and_score(idle) == 0.0
    acted = Play(task)
    acted.act("restart_service", task.roots[0][0], {})
    acted.act("declare_resolved", None, {})
    assert finish_and_score(acted) == pytest.approx(0.75 * 0.55)


def test_the_parts_by_themselves() -> None:
    assert impact(100.0, 40.0, 20.0, True, True) == pytest.approx(0.75)
    assert impact(100.0, 10.0, 20.0, True, True) == 1.0
    assert impact(100.0, 180.0, 20.0, True, True) == 0.0
    assert (impact(0, 0, 0, True, False), impact(0, 0, 0, False, False)) == (1.0, 0.0)
    assert [precision(count) for count in (0, 1, 2, 9)] == [1.0, 0.75, 0.5, 0.3]
    assert resolved(True, True, True) == 1.0
    assert resolved(False, True, False) == resolved(True, False, True) == 0.0
