"""What the kit gives any environment: a registry, splits by hash, and an audit without a plan."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from metric_tracker_rl.policies import POLICIES as FUNNEL_POLICIES
from openenv_kit.environment import Reply
from openenv_kit.errors import InvalidValueError, UnknownNameError
from openenv_kit.play.policies import Observed, Play, Policies
from openenv_kit.trust.audit import Audit
from openenv_kit.trust.exploits import NOTHING, Ceiling, Exploits
from openenv_kit.trust.sealing import SALT_VARIABLE
from openenv_kit.trust.splits import SEALED, HashedSplits

LEVELS = (1, 2, 3)
SPLITS: HashedSplits[dict[str, int], int] = HashedSplits(
    "guess/1",
    blocks={"train": 20, "test": 4, SEALED: 2},
    strata=LEVELS,
    make=lambda seed, level: {"seed": seed, "level": level},
)
POLICIES, EXPLOITS = Policies(), Exploits()
SALT = "a secret of more than thirty-two characters"


@POLICIES.register("reference")
def reference(opening: Observed) -> Play:
    """Says the number that it is told."""
    yield {"guess": opening["number"]}


@POLICIES.register("null")
def null(_: Observed) -> Play:
    """Says nothing."""
    yield {}


@EXPLOITS.register("after_the_end", NOTHING)
def after_the_end(opening: Observed) -> Play:
    """Says nothing, and then the number."""
    yield {}
    yield {"guess": opening["number"]}


@EXPLOITS.register("reads_the_state", Ceiling(0.5, 0.5))
def reads_the_state(_: Observed) -> Play:
    """Asks the state and a second session for the number."""
    state = yield {"state": True}
    yield {"elsewhere": {"reset": {"split": "train", "index": 0}}}
    told = yield {"elsewhere": {"action": {"guess": 1}}}
    yield {"guess": state.get("number", told.get("number", 0))}


class Guess:
    """Tells a number and pays for saying it."""

    pays_late = False

    def __init__(self) -> None:
        self.task_id, self.done, self._number = "", False, 0

    def reset(self, *, split: str, index: int) -> Reply:
        self._number, self.done = SPLITS.task(split, index).config["level"], False
        return Reply("ready", "Say it.", content={"number": self._number})

    def step(self, action: Mapping[str, Any]) -> Reply:
        right = action.get("guess") == self._number and (self.pays_late or not self.done)
        self.done = True
        return Reply("done", "", reward=float(right), done=True)

    def state(self) -> Any:
        return SimpleNamespace(model_dump=lambda: {"status": "running"})


def environment() -> Any:
    return SimpleNamespace(
        name="guess",
        splits=SPLITS,
        policies=POLICIES,
        exploits=EXPLOITS,
        session=Guess,
        observation=lambda reply, task_id: {"task_id": task_id, **reply.content},
    )


def audited() -> dict[tuple[str, str], Any]:
    audit = Audit(environment())
    lines = audit.lines((job, audit.run(job)) for job in audit.jobs(6))
    return {(line.setting, line.policy): line for line in lines}


def test_an_environment_without_a_plan_is_audited_on_its_splits() -> None:
    lines = audited()
    assert set(lines) == {("split:train", name) for name in (*POLICIES, *EXPLOITS)}
    assert {name: line.mean for (_, name), line in lines.items()} == {
        "reference": 1.0,
        "null": 0.0,
        "after_the_end": 0.0,
        "reads_the_state": 0.0,
    }
    assert all(line.holds and line.episodes == 6 for line in lines.values())


def test_a_reward_after_the_end_is_outside_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guess, "pays_late", True)
    line = audited()["split:train", "after_the_end"]
    assert (line.mean, line.calls, line.holds) == (1.0, 2.0, False)


def test_a_wrong_name_in_an_audit_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'split:train'"):
        Audit(environment()).jobs(6, settings=["split:tran"])


def test_two_environments_have_registries_of_their_own() -> None:
    assert set(POLICIES) == {"reference", "null"}
    assert FUNNEL_POLICIES["null"] is not POLICIES["null"]
    assert POLICIES["null"].description == "Says nothing."
    with pytest.raises(TypeError, match="policy 'null' is declared twice"):
        POLICIES.register("null")(null)
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


def test_a_sealed_split_needs_its_secret_and_commits_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    assert SPLITS.names() == ["train", "test"]
    with pytest.raises(InvalidValueError, match="at least 32"):
        SPLITS.commitment()
    monkeypatch.setenv(SALT_VARIABLE, SALT)
    assert SPLITS.names() == ["train", "test", SEALED]
    committed = SPLITS.commitment()
    monkeypatch.setenv(SALT_VARIABLE, f"{SALT}!")
    assert SPLITS.commitment() != committed
    open_splits = HashedSplits("guess/1", {"train": 1}, LEVELS, lambda seed, _: seed)
    with pytest.raises(UnknownNameError, match="'sealed'"):
        open_splits.commitment()
    with pytest.raises(InvalidValueError, match="number of splits"):
        HashedSplits("guess/1", dict.fromkeys("abcde", 1), LEVELS, lambda seed, _: seed)
