"""What the kit gives any environment: a registry, splits by hash, and an audit without a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pipe_leak import SEGMENTS, PipeLeak, PipeSession, bisect

from metric_tracker_rl.policies import POLICIES as FUNNEL_POLICIES
from openenv_kit.environment import Reply, get_environment
from openenv_kit.errors import InvalidValueError, UnknownNameError
from openenv_kit.rollouts.policies import ObservationJson, PolicySteps
from openenv_kit.sealed_split import SALT_VARIABLE, is_sealed_split
from openenv_kit.serving.episodes.trainer_record import compute_config_digest
from openenv_kit.splits import SEALED_SPLIT, HashedSplits
from openenv_kit.trust.audit import Audit
from openenv_kit.trust.exploits import ZERO_CEILING, Exploits, ScoreCeiling

LEVELS = (1, 2, 3)
SPLITS: HashedSplits[dict[str, int], int] = HashedSplits(
    "guess/1",
    blocks={"train": 20, "test": 4, SEALED_SPLIT: 2},
    strata=LEVELS,
    make_config=lambda seed, level: {"seed": seed, "level": level},
)
POLICIES, EXPLOITS = PipeLeak.policies, Exploits()
SALT = "a secret of more than thirty-two characters"


@EXPLOITS.register("after_the_end", ZERO_CEILING)
def after_the_end(opening: ObservationJson) -> PolicySteps:
    """Reports another segment than the leak, and then the leak."""
    moves = bisect(opening)
    action = next(moves)
    while action["tool"] != "report":
        action = moves.send((yield action))
    elsewhere = (action["arguments"]["segment"] + 32) % SEGMENTS
    yield {**action, "arguments": {"segment": elsewhere}}
    yield action


@EXPLOITS.register("reads_the_state", ScoreCeiling(0.5, 0.0))
def reads_the_state(_: ObservationJson) -> PolicySteps:
    """Asks the state and a second session for the leak."""
    state = yield {"state": True}
    yield {"second_session": {"reset": {"split": "train", "index": 0}}}
    reply = yield {"second_session": {"action": {"tool": "gauge", "arguments": {"segment": 1}}}}
    leak = state.get("leak", reply.get("leak", 0))
    yield {"tool": "report", "arguments": {"segment": leak}}


class PipeAudit(Audit):
    """An audit with players that cheat, and no plan of its own."""

    exploits = EXPLOITS


def audited() -> dict[tuple[str, str], Any]:
    audit = PipeAudit(PipeLeak())
    lines = audit.build_lines(
        (job, audit.run_job(job)) for job in audit.plan_jobs(6, settings=["split:train"])
    )
    return {(line.setting, line.policy): line for line in lines}


def test_an_environment_without_a_plan_is_audited_on_its_splits() -> None:
    lines = audited()
    assert set(lines) == {("split:train", name) for name in (*POLICIES, *EXPLOITS)}
    assert {name: line.mean for (_, name), line in lines.items()} == {
        "reference": 1.0,
        "after_the_end": 0.0,
        "reads_the_state": 0.0,
    }
    assert all(line.holds and line.episodes == 6 for line in lines.values())


def test_a_reward_after_the_end_is_outside_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    true_step = PipeSession.step

    def pays_late(self: PipeSession, action: Mapping[str, Any]) -> Reply:
        self.done = False
        return true_step(self, action)

    monkeypatch.setattr(PipeSession, "step", pays_late)
    line = audited()["split:train", "after_the_end"]
    assert (line.mean, line.calls, line.holds) == (1.0, 8.0, False)


class ForgetfulAudit(PipeAudit):
    """An audit that names one setting, no baseline, and a policy of the environment as exploit."""

    exploits = Exploits()
    settings = ("split:test",)
    baselines = ()


ForgetfulAudit.exploits.register("reference", ScoreCeiling(0.5, 0.5))(bisect)


def test_audit_jobs_without_arguments_play_every_policy_on_train_and_test_in_full() -> None:
    sizes = dict.fromkeys(("split:train", "split:test"), 6)
    for audit in (PipeAudit(PipeLeak()), ForgetfulAudit(PipeLeak())):
        played: dict[str, int] = {}
        for job in audit.plan_jobs(6):
            if job.policy == "reference":
                played[job.setting] = (
                    played.get(job.setting, 0) + job.stop_episode - job.first_episode
                )
        assert played == sizes


@pytest.mark.parametrize("name", ["metric_tracker_rl", "firewatch", "drilldown", "pipe_leak"])
def test_audit_of_every_environment_plays_each_of_its_policies_on_train_and_test(
    name: str,
) -> None:
    environment = get_environment(name)
    audit = environment.audit
    there = {
        (job.policy, job.setting, job.level) for job in audit.plan_jobs(2) if job.stop_episode == 2
    }
    assert there >= {
        (policy, f"split:{split}", level)
        for policy in environment.policies
        for split in ("train", "test")
        for level in audit.levels
    }


def test_a_wrong_name_in_an_audit_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'split:train'"):
        PipeAudit(PipeLeak()).plan_jobs(6, settings=["split:tran"])


def test_two_environments_have_registries_of_their_own() -> None:
    assert set(POLICIES) == {"reference"}
    assert FUNNEL_POLICIES["reference"] is not POLICIES["reference"]
    assert POLICIES["reference"].description == "Halves the stretch in which the leak must be."
    with pytest.raises(TypeError, match="policy 'reference' is declared twice"):
        POLICIES.register("reference")(bisect)
    with pytest.raises(UnknownNameError, match="Did you mean 'reference'"):
        POLICIES.find("referense")


def test_hashed_splits_hold_every_stratum_once_a_block_and_never_share_a_seed() -> None:
    seeds = set()
    for code, split in enumerate(("train", "test")):
        tasks = [SPLITS.task(split, index) for index in range(SPLITS.size(split))]
        for block in range(0, len(tasks), 3):
            assert {task.config["level"] for task in tasks[block : block + 3]} == set(LEVELS)
        assert {task.config["seed"] >> 62 for task in tasks} == {code}
        seeds |= {task.config["seed"] for task in tasks}
    assert len(seeds) == SPLITS.size("train") + SPLITS.size("test")
    assert SPLITS.task("test", 2).as_dict() == {
        "id": "test-2",
        "split": "test",
        "index": 2,
        "reset": {"split": "test", "index": 2},
    }


def test_sealed_tasks_and_their_commitment_depend_on_the_salt_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    levels = HashedSplits(
        "guess/1", {"test": 1, SEALED_SPLIT: 1}, range(24), lambda _, level: level
    )
    same = HashedSplits("guess/1", {SEALED_SPLIT: 1}, ["only"], lambda _, stratum: stratum)

    def values_under(salt: str) -> tuple[str, str, str]:
        monkeypatch.setenv(SALT_VARIABLE, salt)
        order = [levels.task(SEALED_SPLIT, index).config for index in range(24)]
        return (
            str(order),
            same.sealed_commitment(),
            compute_config_digest({"seed": 1}, is_sealed=True),
        )

    plain = compute_config_digest({"seed": 1}, is_sealed=False)
    for one, other in zip(values_under(SALT), values_under(f"{SALT}!"), strict=True):
        assert one != other
        assert plain not in (one, other)
    assert values_under(SALT) == values_under(SALT)


def test_a_sealed_split_needs_its_secret_and_commits_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    assert SPLITS.names() == ["train", "test"]
    with pytest.raises(InvalidValueError, match="at least 32"):
        SPLITS.sealed_commitment()
    monkeypatch.setenv(SALT_VARIABLE, SALT)
    assert SPLITS.names() == ["train", "test", SEALED_SPLIT]
    committed = SPLITS.sealed_commitment()
    monkeypatch.setenv(SALT_VARIABLE, f"{SALT}!")
    assert SPLITS.sealed_commitment() != committed
    open_splits = HashedSplits("guess/1", {"train": 1}, LEVELS, lambda seed, _: seed)
    with pytest.raises(UnknownNameError, match="'sealed'"):
        open_splits.sealed_commitment()
    with pytest.raises(InvalidValueError, match="number of splits"):
        HashedSplits("guess/1", dict.fromkeys("abcde", 1), LEVELS, lambda seed, _: seed)


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("sealed", True),
        ("sealed_rung_1", True),
        ("rungs_sealed", True),
        ("test", False),
        ("unsealed", False),
        (None, False),
        (["sealed"], False),
    ],
)
def test_split_is_sealed_if_a_part_of_its_name_says_so(split: object, expected: bool) -> None:
    assert is_sealed_split(split) is expected
