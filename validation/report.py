"""Runs the framework's local checks (its RFC 008) and writes a report in the framework's format.

    python -m validation.report [--environment NAME] [--out report.json]

The checks run in this process, without a network. Checks that need a container or another machine
are skipped with a reason; `validation/read_only_container` runs those that need a container. The
framework's own graders check a running server in tests/project/test_framework_validation.py.
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
    "static.reproducible_build": "needs two builds of the image; see the container check",
    "runtime.startup": "needs a server; see test_framework_validation.py",
    "runtime.network_policy": "needs a network namespace; see test_framework_validation.py",
    "runtime.host_containment": "needs a container; see validation/read_only_container",
    "runtime.resource_bounds": "needs a container with limits; a process has none",
}
"""Checks that cannot run in this process, and why."""


def iter_check_results(environment_name: str) -> Iterator[dict[str, Any]]:
    """Run every local check. Yield the results in the order of the validation policy."""
    context = CheckContext(environment_name)
    for entry in load_policy(VALIDATION_POLICY_VERSION).entries:
        if entry.lane == "local":
            yield _run_check(entry.check_id, context)


def _run_check(check_id: str, context: CheckContext) -> dict[str, Any]:
    result: dict[str, Any] = {"check_id": check_id, "measured": {}, "evidence": []}
    started = time.monotonic()
    try:
        if check_id in SKIP_REASONS:
            raise SkippedError(SKIP_REASONS[check_id])
        result |= {"status": "pass", "measured": dict(CHECKS[check_id](context))}
    except SkippedError as problem:
        result |= {"status": "skip", "evidence": [str(problem)]}
    except FailedError as problem:
        result |= {"status": "fail", "evidence": [str(problem)], "remediation": str(problem)}
    except KitError as problem:
        result |= {"status": "error", "evidence": [str(problem)]}
    return {**result, "duration_s": time.monotonic() - started}


def build_report(environment_name: str) -> dict[str, Any]:
    """Run every local check of an environment and return the report.

    The verdict is "fail" if a check of severity fail has failed or could not be run.
    """
    results = list(iter_check_results(environment_name))
    severity_by_check = {
        entry.check_id: entry.severity for entry in load_policy(VALIDATION_POLICY_VERSION).entries
    }
    has_failed = any(
        result["status"] in ("fail", "error") and severity_by_check[result["check_id"]] == "fail"
        for result in results
    )
    return {
        "report_schema_version": "2",
        "target": environment_name,
        "policy_version": VALIDATION_POLICY_VERSION,
        "lane": "local",
        "results": results,
        "verdict": "fail" if has_failed else "pass",
    }


def write_canary_plans(environment_name: str) -> None:
    """Play the canary policies on the last named task and write their actions as plans."""
    context = CheckContext(environment_name)
    reset = dict(list(context.environment.reset_arguments_by_task_id.values())[-1])
    plans = {
        policy_name: {
            "plan_schema_version": "1",
            "reset": reset,
            "actions": [step.action for step in context.play_policy(policy_name, reset)[1:]],
        }
        for policy_name in CANARY_POLICIES[environment_name]
    }
    context.canary_file.write_text(json.dumps(plans, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Print a line for each check. Return 1 if the verdict of an environment is "fail", else 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--environment",
        choices=MANIFEST_FOLDERS,
        action="append",
        help="only this environment; may be repeated",
    )
    parser.add_argument("--out", type=Path, help="write the reports to this JSON file")
    parser.add_argument(
        "--write-canaries", action="store_true", help="write the canary plans, and run no check"
    )
    options = parser.parse_args()
    names = options.environment or list(MANIFEST_FOLDERS)
    if options.write_canaries:
        for name in names:
            write_canary_plans(name)
        return 0
    reports = [build_report(name) for name in names]
    for report in reports:
        print(f"{report['target']}: {report['verdict']}")
        for result in report["results"]:
            evidence = "; ".join(result["evidence"]) or compact_json(result["measured"])
            print(f"  {result['status'].upper():4}  {result['check_id']:34} {evidence[:150]}")
    if options.out:
        options.out.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    return int(any(report["verdict"] == "fail" for report in reports))


if __name__ == "__main__":
    sys.exit(main())
