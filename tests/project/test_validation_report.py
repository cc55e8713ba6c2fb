"""The framework's local checks: each passes or is skipped with a reason, and can fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from openenv.validation.policy import load_policy
from openenv.validation.report import CheckResult

from openenv_kit.recordings.format import RecordingError
from validation import check_context as subjects
from validation import report as checks

CANNOT_BE_MET_HERE = {"static.dependency_pinning"}
"""The base image is named by tag: with a digest, the container check could not build the image."""


@pytest.mark.slow
@pytest.mark.parametrize("name", subjects.MANIFEST_FOLDERS)
def test_every_local_check_passes_or_says_why_it_is_skipped(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    report = checks.build_report(name)
    record_property("report", json.dumps(report))
    found = {each["check_id"]: CheckResult(**each) for each in report["results"]}
    local = [each.check_id for each in load_policy("v2").entries if each.lane == "local"]
    assert list(found) == local
    failed = {
        name: each.evidence for name, each in found.items() if each.status in ("fail", "error")
    }
    assert failed.keys() == CANNOT_BE_MET_HERE, failed
    assert all(each.evidence for each in found.values() if each.status == "skip")
    assert sum(each.status == "pass" for each in found.values()) >= 27


def subject() -> Any:
    return subjects.CheckContext("drilldown")


def result(of: Any, check_id: str) -> str:
    return str(checks._run_check(check_id, of)["status"])


def last_reply(of: Any) -> dict[str, Any]:
    reply: dict[str, Any] = of.reference_episodes[0][-1][1]
    return reply


def spoil_reward(of: Any) -> None:
    last_reply(of)["reward"] = 1.5


def spoil_score(of: Any) -> None:
    last_reply(of)["reward"] = 0.5


def spoil_transcript(of: Any) -> None:
    of.reference_episodes[0][1][1]["result"] = {}


def spoil_parts(of: Any) -> None:
    last_reply(of)["score_parts"] = None


def tell_the_seed(of: Any) -> None:
    task = of.environment.splits.task("test", 0)
    of.reference_episodes[0][1][1]["message"] = f"made from {task.config.seed}"


def a_canary_that_works(of: Any) -> None:
    actions = [action for action, _ in of.reference_episodes[0][1:]]
    of.canary_plans["null"] = {"reset": of.resets[0], "actions": actions}


def too_few_canaries(of: Any) -> None:
    del of.canary_plans["null"]


def another_number_of_tasks(of: Any) -> None:
    of.manifest.capabilities.declared_task_count["test"] += 1


def another_tool(of: Any) -> None:
    of.manifest.capabilities.declared_tools.append("oracle")


def longer_than_allowed(of: Any) -> None:
    of.manifest.resources.episode_timeout_s = 4000.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check_id", "spoil"),
    [
        ("runtime.reward_well_formed", spoil_reward),
        ("semantic.oracle_max", spoil_score),
        ("semantic.replayability", spoil_transcript),
        ("runtime.episode_isolation", spoil_transcript),
        ("runtime.episode_determinism", spoil_transcript),
        ("runtime.reward_attribution", spoil_parts),
        ("runtime.oracle_containment", tell_the_seed),
        ("semantic.canary_floor", a_canary_that_works),
        ("semantic.canary_floor", too_few_canaries),
        ("runtime.task_declaration_accuracy", another_number_of_tasks),
        ("runtime.tool_declaration_accuracy", another_tool),
        ("static.timeout_ceiling", longer_than_allowed),
    ],
)
def test_check_fails_on_the_defect_it_is_for(
    check_id: str, spoil: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subjects, "PLAYED_TASKS", 1)
    of = subject()
    assert result(of, check_id) == "pass"
    spoil(of)
    assert result(of, check_id) == "fail"


def test_a_check_that_cannot_be_carried_out_is_an_error_and_no_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: object) -> dict[str, Any]:
        raise RecordingError("no such run")

    monkeypatch.setitem(checks.CHECKS, "static.manifest", broken)
    monkeypatch.setattr(
        checks, "iter_check_results", lambda name: [checks._run_check("static.manifest", name)]
    )
    report = checks.build_report("drilldown")
    (found,) = report["results"]
    assert (found["status"], found["evidence"], report["verdict"]) == (
        "error",
        ["no such run"],
        "fail",
    )
