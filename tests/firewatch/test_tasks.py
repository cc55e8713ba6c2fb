"""Tasks: those that are shipped are fair, and the same for ever."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from firewatch_env.certificate import FirewatchCertifier, Shipped, certify, shipped
from firewatch_env.engine.catalogue import CATALOGUE, features_of
from firewatch_env.play import Play
from firewatch_env.policies.own_play import run
from firewatch_env.policies.reference import reference
from firewatch_env.policies.registry import POLICIES
from firewatch_env.session import FirewatchSession
from firewatch_env.tasks.book import SPLITS, drawn_task, find, split_task
from firewatch_env.tasks.causes import CAUSES
from firewatch_env.tasks.changes import cosmetic
from firewatch_env.tasks.levels import LEVELS
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import open_world
from firewatch_env.tools import CATALOGUE as TOOLS
from firewatch_env.tools import RUNBOOK, RUNBOOKS
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import ConfigurationError
from openenv_kit.rollouts.run_policy import iter_policy_steps
from research.firewatch.digests import episode_digest
from support.firewatch_worlds import course

FULL = bool(os.environ.get("METRIC_TRACKER_FULL"))
GOLDEN = Path(__file__).with_name("golden_plays.json")


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_shipped_tasks_hold_their_certificates(level: str) -> None:
    numbers = range(len(shipped()[level]))[:: 1 if FULL else 9]
    found = [FirewatchCertifier().certify_episode(Shipped(level, number)) for number in numbers]
    assert [each for each in found if not each.holds] == []


def test_a_fault_that_hurts_nobody_is_not_shipped() -> None:
    task = find({"task_id": "task_easy_rbac_403"})
    idle = replace(task, roots=(*task.roots, (task.entry, "errors_build")))
    found = certify(idle, Shipped("easy", 0))
    assert (found.lasting, found.felt, found.holds) == (True, False, False)


def test_a_certificate_is_told_as_json_and_in_a_row() -> None:
    certifier = FirewatchCertifier()
    made = certifier.certify_episode(Shipped("easy", 3))
    assert json.loads(json.dumps(made.as_dict()))["config"] == {"difficulty": "easy", "number": 3}
    titles, rows = certifier.tabulate_certificates([made])
    assert len(titles) == len(rows[0])


@pytest.mark.slow
def test_sizes_and_faults_are_those_of_the_level() -> None:
    for index in range(60):
        task = split_task("test", index)
        level = LEVELS[task.difficulty]
        assert len(task.services) <= level.services + 1
        assert task.calm or len(task.roots) in level.faults
        assert len({service for service, _ in task.roots}) == len(task.roots)


@pytest.mark.slow
def test_no_service_has_two_changes_that_read_as_one() -> None:
    """A twin is another release of a service that moves the same lever."""
    twins = 0
    for index in range(120):
        task = split_task("train", index)
        levers = [
            (put.service, each.lever)
            for put in task.puts
            for each in put.release.settings
            if each.lever
        ]
        twins += max(Counter(levers).values(), default=0) > 1
    assert twins <= 12


@pytest.mark.slow
def test_every_named_task_has_its_cause_and_every_cause_can_be_drawn() -> None:
    for name, named in NAMED.items():
        task = find({"task_id": name})
        assert task.roots[0][1] == named.cause
        assert (task.difficulty, len(task.roots)) == (named.difficulty, 2 if named.dual else 1)
    drawn = {
        cause
        for index in range(300)
        for split in ("train", "validation")
        for _, cause in split_task(split, index).roots
    }
    assert len(set(CAUSES) - drawn) <= 8


def test_features_and_changes_fit_the_service() -> None:
    assert {len(set(features_of(name))) for name in CATALOGUE} == {14}
    assert not {*features_of("auth-api")} & {*features_of("order-api")}
    for service, fits in (("order-api", True), ("order-db", False), ("cart-cache", False)):
        words = {cosmetic(service, "x", "build", BitStream(str(n))).text for n in range(60)}
        assert ("JSON library 2.14 → 2.15" in words) == fits
        assert ("checksums in snapshots of x" in words) != fits


def test_the_same_arguments_make_the_same_task_and_no_other() -> None:
    assert find({"difficulty": "hard", "seed": 5}) == drawn_task("hard", 5) != drawn_task("hard", 6)
    assert find({"split": "test", "index": 4}) == split_task("test", 4)
    assert find({"task_id": "task_easy_oom_baseline", "seed": 43}).task_id in NAMED
    with pytest.raises(ConfigurationError, match="Did you mean 'validation'"):
        find({"split": "validatio"})
    with pytest.raises(ConfigurationError, match="allowed"):
        find({"split": "test", "index": 100_000})
    assert "sealed" not in SPLITS.list_playable_split_names()


@pytest.mark.slow
@pytest.mark.parametrize(("level", "least"), [("easy", 8), ("medium", 8), ("hard", 8)])
def test_the_reference_goes_on_from_any_state(level: str, least: int) -> None:
    """After three random changes of somebody else's it still ends incidents, if there is time."""
    actions = ("rollback_deploy", "revert_config", "circuit_break", "scale_replicas",
               "traffic_shift", "restart_service", "disable_retries")  # fmt: skip
    ended = 0
    tasks = [drawn_task(level, seed) for seed in range(12)]
    for task in tasks:
        draws, play = BitStream(f"any state/{task.draws}"), Play(task)
        opening = play.message.partition("\n")[0]
        for _ in range(3):
            play.act(draws.choose(actions), draws.choose(task.services), {})
        run(play, reference({"message": f"{opening}\n{play.message}"}))
        ended += bool(play.grade and play.grade.over)
    assert ended >= least


@pytest.mark.slow
def test_plays_are_the_same_bytes_as_ever() -> None:
    golden = json.loads(GOLDEN.read_text())
    for name, expected in golden.items():
        player, _, task_id = name.partition(" ")
        assert episode_digest(find({"task_id": task_id}), player) == expected, name


def test_a_world_opens_the_same_whoever_touched_it_before() -> None:
    task = find({"task_id": "task_hard_gray_failure"})
    first = open_world(task)
    first.by_name[task.entry].levers["leaders"] = 1.0
    course(first, 5)
    assert open_world(task).by_name[task.entry].levers == {}


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_the_reference_does_nothing_that_a_model_is_not_offered(level: str) -> None:
    offered = {*TOOLS.tool_names, *RUNBOOKS} - {RUNBOOK}
    for index in [n for n in range(90) if SPLITS.task("train", n).config.difficulty == level]:
        session = FirewatchSession()
        opening = session.reset(split="train", index=index)
        done = {
            action["action_type"]
            for action, _ in iter_policy_steps(session, POLICIES["reference"], opening)
        }
        assert done <= offered, (index, done - offered)
