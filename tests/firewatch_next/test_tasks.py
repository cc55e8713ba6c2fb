"""Tests of drawn tasks, their splits and the named tasks."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest

from firewatch_next.changes.change import Change, UndoEffect
from firewatch_next.changes.change_texts import DETAILS, TITLES
from firewatch_next.changes.innocent_changes import ChangeMaker, draw_slots
from firewatch_next.faults.registry import fault_types
from firewatch_next.simulation.build_world import build_world
from firewatch_next.simulation.log_event import Wording
from firewatch_next.tasks.draw_task import draw_task
from firewatch_next.tasks.false_alerts import CHECK_FAILED
from firewatch_next.tasks.find_task import find_spec
from firewatch_next.tasks.levels import MAIN_LEVEL_NAMES
from firewatch_next.tasks.named_tasks import NAMED_TASKS, list_playable_names
from firewatch_next.tasks.severity import MAX_HARM, MIN_HARM
from firewatch_next.tasks.splits import SPLITS, make_split_spec, wording_of_split
from firewatch_next.tasks.task import DrawnTask, TaskSpec, merge_alerts
from firewatch_next.telemetry.alerts import list_alerts
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import InvalidValueError, UnknownNameError


@lru_cache(maxsize=16)
def drawn(level: str, number: int) -> DrawnTask:
    return draw_task(TaskSpec(f"{level}-{number}", f"test/{level}/{number}", level))


def test_drawn_task_hurts_customers_and_alerts() -> None:
    for number in range(4):
        task = drawn("easy", number)
        assert task.world.tick == 0
        assert MIN_HARM <= task.world.harm <= MAX_HARM
        assert merge_alerts(task, list_alerts(task.view(task.world)))
        assert len(task.world.services) == 6
        assert len(task.world.changes) == 6


def test_drawn_task_is_deterministic() -> None:
    first = drawn("rung_1", 0)
    second = draw_task(first.spec)
    assert second.draw == first.draw
    assert second.world.harm == first.world.harm
    assert second.world.changes == first.world.changes


def test_stored_draw_gives_the_same_world_without_trials() -> None:
    first = drawn("rung_1", 1)
    second = draw_task(replace(first.spec, stored=first.draw))
    assert second.trials == 0
    assert second.world.harm == first.world.harm
    assert [item.place for item in second.placed] == [item.place for item in first.placed]


def test_world_without_the_fault_hurts_nobody() -> None:
    for number in range(3):
        world = drawn("easy", number).base_world.fork()
        while world.tick < 10:
            world.advance()
            assert world.harm == 0.0


def test_false_alert_pages_while_customers_are_well() -> None:
    task = draw_task(TaskSpec("false", "test/false", "medium", is_false_alert=True))
    assert task.is_false_alert
    assert task.world.harm == 0.0
    assert [alert.metric_name for alert in task.synthetic_alerts] == [
        "synthetic_check_failed_ratio"
    ]


def test_every_text_has_four_different_phrasings() -> None:
    phrasings = [*TITLES.values(), *DETAILS.values(), *CHECK_FAILED.phrasings.values()]
    for item in phrasings:
        texts = [*item.open, item.test, item.sealed]
        assert len(texts) >= 4
        assert len(set(texts)) == len(texts)


def test_changes_follow_the_order_of_time() -> None:
    """Each deploy of a service starts from the version that the one before has brought."""
    checked = 0
    for seed in range(6):
        world = build_world(BitStream(f"order {seed}"), 6)
        slots = draw_slots(BitStream(f"slots {seed}"), world, 40)
        changes = list(ChangeMaker("key", world, Wording.OPEN, 0.0).make_all(slots).values())
        for name in world.services:
            for kind in ("deploy", "config"):
                chain = [c for c in changes if c.service == name and c.kind == kind]
                chain.sort(key=lambda c: (c.tick, c.id))
                by_key: dict[str, Change] = {}
                for change in chain:
                    before = by_key.get(change.key)
                    if before is not None and before.tick > world.tick:
                        assert change.before == before.after
                        checked += 1
                    by_key[change.key] = change
        ids = [c.id for c in sorted(changes, key=lambda c: c.tick)]
        assert ids == sorted(ids)
    assert checked > 10


def test_about_three_fifths_of_innocent_deploys_are_unsafe_to_undo() -> None:
    undo = []
    for seed in range(30):
        world = build_world(BitStream(f"undo {seed}"), 6)
        slots = draw_slots(BitStream(f"undo slots {seed}"), world, 30)
        made = ChangeMaker(f"undo {seed}", world, Wording.OPEN, 0.0).make_all(slots).values()
        undo += [change.undo for change in made if change.kind == "deploy"]
    unsafe = sum(effect is not UndoEffect.SAFE for effect in undo) / len(undo)
    assert 0.5 <= unsafe <= 0.7


def test_splits_have_a_quarter_of_each_level() -> None:
    assert [SPLITS.size(name) for name in ("train", "validation", "test")] == [2000, 500, 500]
    levels = [SPLITS.task("validation", index).level for index in range(500)]
    assert {level: levels.count(level) for level in MAIN_LEVEL_NAMES} == dict.fromkeys(
        MAIN_LEVEL_NAMES, 125
    )
    assert [SPLITS.size(f"{name}_rung_1") for name in ("train", "validation", "test")] == [
        500, 125, 125,
    ]  # fmt: skip


def test_wording_follows_the_split() -> None:
    assert wording_of_split("test_rung_2") is Wording.TEST
    assert wording_of_split("sealed") is Wording.SEALED
    assert make_split_spec("train", 3).wording is Wording.OPEN


def test_there_are_sixty_named_tasks() -> None:
    assert len(NAMED_TASKS) == 60
    counts = [sum(t.level_name == level for t in NAMED_TASKS.values()) for level in
              ("easy", "medium", "hard")]  # fmt: skip
    assert counts == [25, 20, 15]


MISSING_FAULT_TYPES = frozenset(
    name for task in NAMED_TASKS.values() for name in task.missing_fault_types
)


def test_named_tasks_miss_only_fault_types_that_are_planned() -> None:
    """Lists the fault types that named tasks still wait for; remove a name once it exists."""
    planned = {
        "excess_calls", "memory_leak", "retry_storm", "timeout_too_short", "load_imbalance",
        "pods_not_ready", "disk_full", "thread_deadlock", "wrong_endpoint", "clock_skew",
        "permission", "batch_job", "certificate", "noisy_neighbor", "zone_failure",
        "provider_failure", "store_replication", "breaker_open", "cache_miss", "lock_contention",
        "incompatible_data", "queue_backlog",
    }  # fmt: skip
    assert planned >= MISSING_FAULT_TYPES
    assert not MISSING_FAULT_TYPES & set(fault_types())


def test_named_task_has_its_fault_type() -> None:
    spec = find_spec({"task_id": "task_easy_oom_baseline"})
    task = draw_task(spec)
    assert [item.fault_type.name for item in task.placed] == ["resource_limit"]
    assert task.placed[0].place.name == "memory_limit_mb"


def test_find_spec_names_what_is_wrong() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown task_id 'task_easy_oom_baselin'.*Did"):
        find_spec({"task_id": "task_easy_oom_baselin"})
    with pytest.raises(InvalidValueError, match="index is 3"):
        find_spec({"index": 3})
    with pytest.raises(InvalidValueError, match="seed is 'a'"):
        find_spec({"seed": "a"})


def test_number_of_a_named_task_finds_it() -> None:
    assert "task_easy_oom_baseline" in list_playable_names()
    assert find_spec({"seed": 42, "difficulty": "easy"}).task_id == "task_easy_oom_baseline"
    assert find_spec({"seed": 43, "difficulty": "easy"}).task_id == "easy_custom"
