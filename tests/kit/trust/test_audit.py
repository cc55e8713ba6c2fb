"""The exploit audit of any environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pipe_leak import SEGMENTS, PipeLeak, PipeSession, bisect

from metric_tracker_rl.policies import POLICIES as FUNNEL_POLICIES
from openenv_kit.environment import Reply, get_environment
from openenv_kit.errors import UnknownNameError
from openenv_kit.rollouts.policies import ObservationJson, PolicySteps
from openenv_kit.trust.audit import Audit
from openenv_kit.trust.exploits import ZERO_CEILING, Exploits, ScoreCeiling

POLICIES, EXPLOITS = PipeLeak.policies, Exploits()


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
    lines = audit.build_audit_lines(
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
    assert all(line.is_within_limits and line.episodes == 6 for line in lines.values())


def test_a_reward_after_the_end_is_outside_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    true_step = PipeSession.step

    def pays_late(self: PipeSession, action: Mapping[str, Any]) -> Reply:
        self.done = False
        return true_step(self, action)

    monkeypatch.setattr(PipeSession, "step", pays_late)
    line = audited()["split:train", "after_the_end"]
    assert (line.mean, line.calls, line.is_within_limits) == (1.0, 8.0, False)


class ForgetfulAudit(PipeAudit):
    """An audit that names one setting, no baseline, and a policy of the environment as exploit."""

    exploits = Exploits()
    settings = ("split:test",)
    baseline_names = ()


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


def test_unknown_audit_setting_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'split:train'"):
        PipeAudit(PipeLeak()).plan_jobs(6, settings=["split:tran"])


def test_two_environments_have_registries_of_their_own() -> None:
    assert set(POLICIES) == {"reference"}
    assert FUNNEL_POLICIES["reference"] is not POLICIES["reference"]
    assert POLICIES["reference"].description
    with pytest.raises(TypeError, match="policy 'reference' is declared twice"):
        POLICIES.register("reference")(bisect)
    with pytest.raises(UnknownNameError, match="Did you mean 'reference'"):
        POLICIES.find("referense")
