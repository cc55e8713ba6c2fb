"""The framework's local checks (its RFC 008), under their ids and in the form of their report.

    python -m validation.report [--environment NAME] [--out report.json]

Played in this process and without a network. A check that needs a container, or another machine, is
a skip that says so; `validation/read_only_container` has those of a container. The framework's own
graders judge a live server in tests/project/test_framework_validation.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openenv.validation.policy import load_policy

from openenv_kit.errors import KitError
from openenv_kit.json_text import compact_json
from validation import runtime_checks, static_checks  # noqa: F401
from validation.check_context import (
    CANARY_POLICIES,
    CHECKS,
    MANIFEST_FOLDERS,
    VALIDATION_POLICY_VERSION,
    CheckContext,
    FailedError,
    SkippedError,
)

SKIP_REASONS = {
    "static.reproducible_build": "needs two builds of the image: the container check",
    "runtime.startup": "needs a server: the framework's grader in test_framework_validation.py",
    "runtime.network_policy": "needs a network namespace: the framework's grader, where one is had",
    "runtime.host_containment": "needs a container: validation/read_only_container",
    "runtime.resource_bounds": "needs a container with limits; none are set in a process",
}
"""Checks that cannot run in this process, and why."""


def iter_check_results(environment_name: str) -> Iterator[dict[str, Any]]:
    """The result of every local check, in the policy's order."""
    subject = CheckContext(environment_name)
    for entry in load_policy(VALIDATION_POLICY_VERSION).entries:
        if entry.lane == "local":
            yield _run_check(entry.check_id, subject)


def _run_check(check_id: str, context: CheckContext) -> dict[str, Any]:
    found: dict[str, Any] = {"check_id": check_id, "measured": {}, "evidence": []}
    began = time.monotonic()
    try:
        if check_id in SKIP_REASONS:
            raise SkippedError(SKIP_REASONS[check_id])
        found |= {"status": "pass", "measured": dict(CHECKS[check_id](context))}
    except SkippedError as why:
        found |= {"status": "skip", "evidence": [str(why)]}
    except FailedError as why:
        found |= {"status": "fail", "evidence": [str(why)], "remediation": str(why)}
    except KitError as why:
        found |= {"status": "error", "evidence": [str(why)]}
    return {**found, "duration_s": time.monotonic() - began}


def build_report(environment_name: str) -> dict[str, Any]:
    """The report of an environment."""
    found = list(iter_check_results(environment_name))
    severity = {
        each.check_id: each.severity for each in load_policy(VALIDATION_POLICY_VERSION).entries
    }
    bad = [e for e in found if e["status"] in ("fail", "error")]
    failed = [e for e in bad if severity[e["check_id"]] == "fail"]
    return {
        "report_schema_version": "2",
        "target": environment_name,
        "policy_version": VALIDATION_POLICY_VERSION,
        "lane": "local",
        "results": found,
        "verdict": "fail" if failed else "pass",
    }


def write_canary_plans(environment_name: str) -> None:
    """Play the canaries on the first named task and write what they did."""
    subject = CheckContext(environment_name)
    reset = dict(list(subject.environment.tasks.values())[-1])
    made = {
        player: {
            "plan_schema_version": "1",
            "reset": reset,
            "actions": [action for action, _ in subject.play_policy(player, reset)[1:]],
        }
        for player in CANARY_POLICIES[environment_name]
    }
    path = subject.folder / "validation" / "canaries.json"
    path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Print a line for each check; 1 where one of severity fail has failed."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--environment", choices=MANIFEST_FOLDERS, action="append")
    asked.add_argument("--out", type=Path, help="write the reports as JSON")
    asked.add_argument("--write-canaries", action="store_true")
    options = asked.parse_args()
    names = options.environment or list(MANIFEST_FOLDERS)
    if options.write_canaries:
        for name in names:
            write_canary_plans(name)
        return 0
    reports = [build_report(name) for name in names]
    for each in reports:
        print(f"{each['target']}: {each['verdict']}")
        for one in each["results"]:
            evidence = "; ".join(one["evidence"]) or compact_json(one["measured"])
            print(f"  {one['status'].upper():4}  {one['check_id']:34} {evidence[:150]}")
    if options.out:
        options.out.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    return int(any(each["verdict"] == "fail" for each in reports))


if __name__ == "__main__":
    sys.exit(main())
