"""Tasks: the named ones, what admits a task, and that no play depends on what a cause is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firewatch_env.actions import ACTIONS, act
from firewatch_env.digests import digest, transcript
from firewatch_env.engine.levers import LEVERS
from firewatch_env.engine.service import Setting
from firewatch_env.evidence.observation import services_view
from firewatch_env.grade import impact
from firewatch_env.policies.blind import random_player
from firewatch_env.policies.manual import EDGE_KEYS, FEATURE_KEYS
from firewatch_env.policies.par import computed_par, par, plan
from firewatch_env.policies.reference import reference
from firewatch_env.policies.registry import POLICIES
from firewatch_env.replay import replay
from firewatch_env.session import Reply, Session
from firewatch_env.tasks.admit import first_admitted
from firewatch_env.tasks.book import SPLITS, admitted, arguments_of, find, named_task, split_task
from firewatch_env.tasks.causes import CAUSES, KEYS, LOOKS, STAGED
from firewatch_env.tasks.certificate import certify
from firewatch_env.tasks.marks import shipped_mark, shipped_tasks
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import Put, Task, open_world
from firewatch_env.told import told
from firewatch_env.tools import answer, introduction

GOLDEN = Path(__file__).with_name("golden_plays.json")
FEW = ["task_easy_oom_baseline", "task_medium_retry_storm", "task_hard_multiteam_dual_fault"]
REFUSED = {
    "other errors of its meters mislead the reference": (5, 41),
    "who is late loses little": (35, 64),
    "the second fault may be left alone": (187, 1),
    "scale_replicas spares customers what the reference does not": (8, 19),
    "the reference is slow": (7, 7),
}
"""Why draws of validation got no certificate, by index and attempt."""
# Plain words of the trade are no names of faults: there is always a number of leaders.
FAULT_WORDS = set(CAUSES) - {"clock", "role", "leaders", "blocked", "hot"}

whole = pytest.mark.skipif(
    not os.environ.get("METRIC_TRACKER_FULL"), reason="takes minutes: METRIC_TRACKER_FULL=1"
)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"seed": 42},
        {"task_id": "task_easy_oom_baseline", "seed": 43},
        {"difficulty": "hard", "seed": 5},
        {"split": "validation", "index": 4},
    ],
)
def test_a_task_is_found_again_by_its_own_arguments(asked: dict[str, Any]) -> None:
    task = find(asked)
    assert find(arguments_of(task)) == task


def tasks_of_all_kinds(each: int) -> list[Task]:
    tasks = [named_task(NAMED[task_id]) for task_id in FEW]
    for split in SPLITS:
        tasks += [split_task(split, n, a) for n, a in enumerate(admitted()[split][:each])]
    return tasks


def test_there_are_the_60_named_tasks_of_the_contract() -> None:
    assert len(NAMED) == 60
    counts = [sum(n.difficulty == d for n in NAMED.values()) for d in ("easy", "medium", "hard")]
    assert counts == [25, 20, 15]
    assert NAMED["task_hard_config_drift_noise"].seed == 2560
    assert len(CAUSES) >= 63
    assert len(LOOKS) >= 14


def test_every_look_has_causes_that_need_different_repairs() -> None:
    for look in set(LOOKS) - {"false", "deadline", "fan-out", "pipeline"}:
        vehicles = {cause.vehicle for cause in CAUSES.values() if cause.look == look}
        assert len(vehicles) == 3, f"{look}: {vehicles}"


def nonsense(task: Task) -> Task:
    return replace(task, label="xyzzy")


@pytest.mark.slow
def test_no_play_depends_on_what_the_cause_is_called() -> None:
    for task in tasks_of_all_kinds(1):
        for policy in (reference, random_player(7)):
            assert transcript(task, policy) == transcript(nonsense(task), policy)


@whole
def test_a_thousand_plays_do_not_depend_on_what_the_cause_is_called() -> None:
    for task in tasks_of_all_kinds(50):
        for seed in range(5):
            policy = random_player(seed)
            assert transcript(task, policy) == transcript(nonsense(task), policy)


def test_only_drawing_and_reports_know_the_label() -> None:
    package = Path(__file__).parents[2] / "firewatch_env"
    # On the page a label is a field's, so there only an attribute of that name counts.
    readers = {
        path.name
        for path in package.rglob("*.py")
        if (".label" if path.parent.name == "page" else "label") in path.read_text()
    }
    assert readers == {"task.py", "draw.py"}


@pytest.mark.slow
def test_plays_have_the_bytes_that_they_had() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert len(golden) >= 6
    for name, expected in golden.items():
        split, _, index = name.partition("/")
        task = (
            named_task(NAMED[name])
            if not index
            else split_task(split, int(index), admitted()[split][int(index)])
        )
        assert [digest(task, reference), digest(task, random_player(1))] == expected, name


@pytest.mark.slow
def test_no_feedback_and_no_log_line_names_a_cause() -> None:
    for task in [*tasks_of_all_kinds(2), *map(named_task, NAMED.values())]:
        world = open_world(task)
        for name, action in ACTIONS.items():
            if action.sort != "investigation":
                continue
            for service in task.services:
                told = act(world, name, service, {})
                text = " ".join((told.text, *told.lines)).replace("(", " ").replace(",", " ")
                assert not FAULT_WORDS & set(text.split()), f"{name}: {text}"


@pytest.mark.slow
def test_named_tasks_hold_their_certificates() -> None:
    for task_id in FEW:
        certificate = certify(named_task(NAMED[task_id]), thorough=True)
        assert certificate.passed, (task_id, certificate.failed)


@pytest.mark.slow
def test_a_task_that_the_reference_cannot_read_gets_no_certificate() -> None:
    task = named_task(NAMED["task_medium_configmap_reload"])
    guilty = task.puts[0]
    odd = tuple(replace(setting, key="not.told") for setting in guilty.release.settings)
    hidden = replace(guilty, release=replace(guilty.release, settings=odd))
    unread = replace(task, puts=(hidden, *task.puts[1:]))
    assert certify(task).passed
    assert certify(unread).failed == ("the reference does not solve it",)


def test_a_task_without_fault_or_without_signs_gets_no_certificate() -> None:
    task = named_task(NAMED["task_easy_oom_baseline"])
    assert certify(task.without_fault()).failed
    last = task.puts[task.faults[0] :]
    harmless = replace(task, puts=last, circumstances=(), faults=(0, 0), burning=False)
    assert certify(harmless).failed == ("nothing is to be seen at reset",)


@whole
def test_everything_shipped_holds_its_certificate() -> None:
    for task_id, named in NAMED.items():
        assert certify(named_task(named), thorough=True).passed, task_id
    for split in SPLITS:
        for index, attempt in enumerate(admitted()[split]):
            assert certify(split_task(split, index, attempt)).passed, (split, index)


def test_releases_look_alike_whether_they_are_at_fault_or_not() -> None:
    sizes: dict[bool, list[int]] = {True: [], False: []}
    for task in map(named_task, NAMED.values()):
        for number, put in enumerate(task.puts):
            keys = [setting.key for setting in put.release.settings]
            sizes[number < task.faults[0]].append(len(keys))
            assert len(set(keys)) == len(keys), (task.task_id, keys)
            assert keys == sorted(keys)
    guilty, other = (sum(sizes[at]) / len(sizes[at]) for at in (True, False))
    assert guilty == pytest.approx(other, abs=0.15)


def test_what_is_at_fault_has_no_alert_beyond_easy() -> None:
    for task in map(named_task, NAMED.values()):
        faulty = {put.service for put in task.puts[: task.faults[0]]} - {task.entry}
        if task.difficulty != "easy":
            assert faulty <= set(task.unalerted), task.task_id


@pytest.mark.slow
def test_a_second_fault_that_is_left_alone_costs_most_of_the_score() -> None:
    dual = [task for task in tasks_of_all_kinds(6) if task.dual]
    assert len(dual) >= 10
    for task in dual:
        second = task.puts[task.faults[0] - 1].service
        rest = [change for change in plan(task) if change.target != second]
        course = replay(open_world(task), rest, task.horizon)
        untouched, reached = par(task)
        ended = 1.0 if course.over else 0.6
        score = ended * impact(untouched, course.total, reached, task.power)
        assert score <= 0.4, task.task_id


def score_by_words(task: Task) -> float:
    """What the reference earns that reads nothing but what a model is told."""
    session = Session(lambda _: task, par)

    def words(reply: Reply) -> dict[str, Any]:
        feedback = reply.info.get("action_feedback", "")
        return {**reply.observation, "status": "running", "message": feedback}

    reply = session.reset()
    opening = introduction(words(reply))
    moves = POLICIES["reference"].play(told(opening, None))
    action = next(moves)
    while not (reply := session.step(action)).done:
        action = moves.send(told(opening, answer(words(reply))))
    return float(reply.observation["episode_score"])


LITTLE_TOLD = {"train": (349, 356), "validation": (254,), "test": (212,)}
"""Tasks that could not be solved while models were told less: of some meters only what was high."""


@pytest.mark.slow
def test_what_a_model_is_told_is_enough() -> None:
    for split, indices in LITTLE_TOLD.items():
        for index in indices:
            task = split_task(split, index, admitted()[split][index])
            assert score_by_words(task) >= 0.95, task.task_id


@whole
def test_what_a_model_is_told_is_enough_for_everything_shipped() -> None:
    for task in shipped_tasks():
        assert score_by_words(task) >= 0.95, task.task_id


def pairs_of_suspects(task: Task) -> list[tuple[Put, Setting, Put, Setting]]:
    """The first release at fault, if what another of its service mended could have done it, too."""
    guilty = task.puts[: min(task.faults[0], 1)]
    return [
        (put, setting, other, another)
        for put in guilty
        for setting in put.release.settings
        for family, _, channel in [setting.lever.partition(".")]
        if family in STAGED
        for other in task.puts
        if other.service == put.service and other.which != put.which
        for another in other.release.settings
        if another.before != LEVERS[another.lever.partition(".")[0]].usual
        if another.key in {f"{channel}.{key}" for key in ({**FEATURE_KEYS, **EDGE_KEYS})[family]}
    ]


def test_two_changes_fit_what_is_seen_in_much_of_what_is_not_easy() -> None:
    releases = twins = 0
    for index, attempt in enumerate(admitted()["validation"][:90]):
        task = split_task("validation", index, attempt)
        if task.difficulty != "easy" and task.faults[0]:
            releases += 1
            twins += bool(pairs_of_suspects(task))
    assert twins >= 0.6 * releases


def test_neither_age_nor_name_nor_place_tells_which_of_two_suspects_it_is() -> None:
    older, younger, in_b = 0, 0, 0
    pairs = []
    for split in ("train", "validation"):
        for index, attempt in enumerate(admitted()[split][:150]):
            pairs += pairs_of_suspects(split_task(split, index, attempt))
    for put, setting, other, another in pairs:
        older += put.release.tick < other.release.tick
        younger += put.release.tick > other.release.tick
        in_b += put.release.staged
        assert put.release.staged != other.release.staged
        could = [KEYS[each.lever.partition(".")[0]] for each in (setting, another)]
        names = {each.key.rpartition(".")[2] for each in (setting, another)}
        assert names <= set(could[0]) & set(could[1])
    for count in (older, younger, in_b):
        assert 0.3 <= count / len(pairs) <= 0.7


def suspects(task: Task) -> set[str]:
    """Services with a build of zone b and a revision of about the same age."""
    ages = {(put.service, put.which): put.release for put in task.puts}
    return {
        service
        for (service, which), build in ages.items()
        if which == "build" and build.staged
        and (revision := ages.get((service, "revision"))) is not None
        and abs(build.tick - revision.tick) <= 5
    }  # fmt: skip


def test_most_services_with_two_suspects_are_not_at_fault() -> None:
    guilty = innocent = 0
    for index, attempt in enumerate(admitted()["validation"][:90]):
        task = split_task("validation", index, attempt)
        if task.difficulty == "hard":
            faulty = {put.service for put in task.puts[: task.faults[0]]}
            guilty += len(suspects(task) & faulty)
            innocent += len(suspects(task) - faulty)
    assert innocent >= 3 * guilty > 0


def test_most_tasks_open_while_customers_are_let_down() -> None:
    burning: dict[str, list[bool]] = {}
    for index, attempt in enumerate(admitted()["validation"][:60]):
        task = split_task("validation", index, attempt)
        burning.setdefault(task.difficulty, []).append(task.burning)
        if task.burning:
            assert open_world(task).harm >= 0.01, task.task_id
    for difficulty, found in burning.items():
        assert sum(found) >= 0.6 * len(found), difficulty
    assert not all(burning["easy"] + burning["medium"]), "nothing grows slowly"


def test_other_errors_of_meters_change_what_is_told_and_nothing_else() -> None:
    task = named_task(NAMED["task_hard_multiteam_dual_fault"])
    worlds = [open_world(replace(task, meters=meters)) for meters in (0, 1)]
    assert worlds[0].harm == worlds[1].harm > 0
    views = [services_view(world, {}) for world in worlds]
    assert views[0] != views[1]
    assert [v["status"] for v in views[0].values()] == [v["status"] for v in views[1].values()]


@pytest.mark.parametrize("why", REFUSED)
def test_a_task_that_luck_or_delay_or_half_the_work_solves_gets_no_certificate(why: str) -> None:
    assert certify(split_task("validation", *REFUSED[why])).failed == (why,)


def test_an_attempt_that_stands_in_the_table_stays_only_if_it_passes_now() -> None:
    good = split_task("validation", 4, admitted()["validation"][4])
    refused = split_task("validation", *REFUSED["the reference is slow"])

    def attempt(number: int) -> Task:
        return refused if number == 5 else good

    assert first_admitted(attempt, 3) == (3, {})
    assert first_admitted(attempt, 5) == (0, {"the reference is slow": 1})
    assert first_admitted(attempt, None) == (0, {})


def test_a_build_and_a_revision_never_set_the_same_thing() -> None:
    for task in tasks_of_all_kinds(60):
        for name in {put.service for put in task.puts}:
            levers = [
                s.lever for put in task.puts if put.service == name for s in put.release.settings
            ]
            assert len(levers) == len(set(levers)), task.task_id


def test_on_hard_nothing_is_only_a_false_alert() -> None:
    hard = [task for task in tasks_of_all_kinds(90) if task.difficulty == "hard"]
    assert hard
    assert not any(task.calm for task in hard)


def test_a_build_in_one_zone_mended_nothing_that_the_other_has_as_well() -> None:
    for task in tasks_of_all_kinds(40):
        for put in task.puts:
            for setting in put.release.settings:
                family = setting.lever.partition(".")[0]
                mended = setting.before != LEVERS[family].usual
                assert not (put.release.staged and mended and family in ("heap", "fill"))


def test_every_setting_with_a_channel_names_it() -> None:
    for task in tasks_of_all_kinds(40):
        for put in task.puts:
            assert not any(s.lever.endswith(".") for s in put.release.settings), task.task_id


def test_without_its_fault_a_task_does_no_harm_at_all() -> None:
    for task in tasks_of_all_kinds(3):
        world = open_world(task.without_fault())
        assert replay(world, (), task.horizon).total == 0.0


@whole
def test_every_remediation_changes_something_in_some_task() -> None:
    left = {name for name, action in ACTIONS.items() if action.sort == "remediation"}
    tasks = [named_task(named) for named in NAMED.values()]
    for split in SPLITS:
        tasks += [split_task(split, n, a) for n, a in enumerate(admitted()[split])]
    for task in tasks:
        start = open_world(task)
        start.run(3)
        for name in sorted(left):
            for service in task.services:
                if act(start.copy(), name, service, {}).changed:
                    left.discard(name)
                    break
    assert not left


@pytest.mark.slow
def test_another_hash_seed_changes_nothing() -> None:
    name = "task_hard_multiteam_dual_fault"
    code = (
        "from firewatch_env.digests import digest;"
        "from firewatch_env.policies.blind import random_player;"
        "from firewatch_env.tasks.book import named_task;"
        "from firewatch_env.tasks.named import NAMED;"
        f"print(digest(named_task(NAMED[{name!r}]), random_player(1)))"
    )
    for hash_seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert told.strip() == json.loads(GOLDEN.read_text())[name][1]


@pytest.mark.slow
def test_every_shipped_task_has_its_marks_and_they_are_those_of_the_reference() -> None:
    tasks = list(shipped_tasks())
    assert all(shipped_mark(task) is not None for task in tasks)
    for task in tasks[::97]:
        assert shipped_mark(task) == computed_par(task), task.task_id


def test_a_task_drawn_otherwise_is_marked_by_playing_the_reference() -> None:
    task = find({"difficulty": "easy", "seed": 987})
    assert shipped_mark(task) is None
    assert par(task) == computed_par(task)
