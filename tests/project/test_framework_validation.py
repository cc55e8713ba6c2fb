"""The framework's own validation passes: static, by URL, and by its runtime graders."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openenv.cli.__main__ import app
from openenv.validation import Level, run_validation
from openenv.validation.graders import Subject
from openenv.validation.parsers.openenv_yaml import OpenEnvYamlParser
from openenv.validation.policy import load_policy
from openenv.validation.report import CheckResult
from openenv.validation.runner import default_grader_registry
from openenv.validation.runtime.collector import collect_runtime_evidence
from openenv.validation.runtime.contracts import RuntimeEvidence, load_runtime_plan
from openenv.validation.runtime.scheduler import execute_graders
from openenv.validation.types import CheckStatus
from typer.testing import CliRunner

from support.local_process_provider import LocalProcessProvider, can_unshare
from support.paths import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        # The framework's collector opens its connection in a way that websockets means to change.
        r"ignore:.*connect:DeprecationWarning:openenv"
    ),
]

RUNTIME_CHECKS = (
    "runtime.startup",
    "runtime.reward_well_formed",
    "runtime.observation_schema",
    "runtime.state_contract",
)
PACKAGE = ("openenv.yaml", "pyproject.toml", "README.md", "Dockerfile", "inference.py")
FOLDERS = ("metric_tracker_rl", "server", "validation")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package as it is shipped: without environment, caches and whatever else lies around."""
    target = tmp_path / "package"
    target.mkdir()
    for name in PACKAGE:
        shutil.copy2(ROOT / name, target / name)
    for name in FOLDERS:
        shutil.copytree(
            ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    return target


def test_the_static_level_passes_on_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run = CliRunner().invoke(app, ["validate", ".", "--level", "static"])
    assert run.exit_code == 0, run.output
    assert "PASS  static.manifest" in run.output
    assert run.output.rstrip().endswith("Verdict: PASS")


def test_the_static_level_fails_on_a_manifest_that_is_wrong(package: Path) -> None:
    manifest = package / "openenv.yaml"
    manifest.write_text(manifest.read_text().replace("range: [0.0, 1.0]", "range: [1.0, 0.0]"))
    run = CliRunner().invoke(app, ["validate", str(package), "--level", "static"])
    assert run.exit_code == 1
    assert "FAIL  static.manifest" in run.output


def test_the_running_server_passes_every_criterion(server_url: str) -> None:
    run = CliRunner().invoke(app, ["validate", "--url", server_url, "--json", "--timeout", "30"])
    report = json.loads(run.output)
    failed = [each for each in report["criteria"] if not each["passed"]]
    assert (run.exit_code, report["passed"], failed) == (0, True, [])
    assert {each["id"] for each in report["criteria"]} >= {
        *("health_endpoint", "schema_endpoint", "mcp_endpoint", "mode_endpoint_consistency"),
    }


def test_an_address_without_a_server_fails_the_validation() -> None:
    run = CliRunner().invoke(app, ["validate", "--url", "http://127.0.0.1:9", "--timeout", "1"])
    assert run.exit_code == 1
    assert "Verdict: FAIL" in run.output


# The runtime graders, on evidence collected from the session's server.


def graded(evidence: RuntimeEvidence) -> dict[str, CheckResult]:
    """Results of the framework's runtime graders on evidence from a server that started."""
    manifest = OpenEnvYamlParser().parse(ROOT)
    registry = default_grader_registry(load_policy("v2"))
    graders = [g for g in registry.select(manifest, Level.RUNTIME) if g.level is Level.RUNTIME]
    status = CheckStatus.FAIL if evidence.failure_reason else CheckStatus.PASS
    startup = CheckResult(
        check_id="runtime.startup",
        status=status,
        evidence=[evidence.failure_reason or "reached"],
        duration_s=0,
    )
    subject = Subject(
        root=ROOT,
        manifest=manifest,
        image_ref=None,
        running=None,
        outputs_dir=ROOT / "outputs",
        runtime_evidence=evidence,
    )
    results = execute_graders(graders, subject, prior=[startup])
    return {each.check_id: each for each in [startup, *results]}


@pytest.fixture(scope="module")
def evidence(server_url: str) -> RuntimeEvidence:
    """What the framework's collector recorded of the probe plan, played on a real server."""
    manifest: Any = OpenEnvYamlParser().parse(ROOT)
    plan = load_runtime_plan(ROOT, manifest.execution)
    return collect_runtime_evidence(server_url, plan, episode_timeout_s=60)


def test_the_runtime_graders_pass_on_a_server_that_runs_as_a_local_process(
    evidence: RuntimeEvidence,
) -> None:
    results = graded(evidence)
    assert evidence.failure_reason is None
    assert len(evidence.exchanges) == 2 * (1 + 7)
    for name in RUNTIME_CHECKS:
        assert results[name].status is CheckStatus.PASS, results[name].evidence


@pytest.mark.parametrize(
    ("check", "spoil"),
    [
        ("runtime.reward_well_formed", ('"reward":0.0', '"reward":1.5')),
        ("runtime.observation_schema", ('"status":"analyzed"', '"status":7')),
        ("runtime.state_contract", ('"step_count":3', '"step_count":4')),
        ("runtime.state_contract", ('"episode_id":"validation', '"episode_id":"another')),
    ],
)
def test_a_runtime_grader_fails_on_a_reply_that_breaks_its_contract(
    evidence: RuntimeEvidence, check: str, spoil: tuple[str, str]
) -> None:
    spoiled = tuple(
        replace(each, response_json=each.response_json.replace(*spoil))
        for each in evidence.exchanges
    )
    assert spoiled != evidence.exchanges
    assert graded(replace(evidence, exchanges=spoiled))[check].status is CheckStatus.FAIL


# The whole runner, with a server that has no network, as the manifest declares.


def test_the_runner_passes_with_a_server_in_a_network_namespace_of_its_own(
    package: Path, tmp_path: Path
) -> None:
    if not can_unshare():
        if os.environ.get("METRIC_TRACKER_REQUIRE_NETNS"):
            pytest.fail("no network namespace can be made here, and the environment asks for one")
        pytest.skip("making a network namespace needs root and unshare")
    provider = LocalProcessProvider(package, tmp_path)
    seen: list[Any] = []
    start = provider.start

    def watched(spec: Any) -> Any:
        running = start(spec)
        seen.append((running.interfaces(), running.routes()))
        return running

    provider.start = watched  # type: ignore[method-assign]
    report = run_validation(package, max_level=Level.RUNTIME, provider=provider)
    results = {each.check_id: each for each in report.results}
    for name in ("static.manifest", *RUNTIME_CHECKS):
        assert results[name].status is CheckStatus.PASS, results[name].evidence
    assert seen == [(["lo"], [])]
    assert [process._process.returncode is not None for process in provider.started] == [True]


def test_a_server_that_does_not_start_fails_the_startup_check(
    package: Path, tmp_path: Path
) -> None:
    if not can_unshare():
        pytest.skip("making a network namespace needs root and unshare")
    (package / "server" / "app.py").write_text("raise SystemExit('broken on purpose')\n")
    provider = LocalProcessProvider(package, tmp_path)
    report = run_validation(package, max_level=Level.RUNTIME, provider=provider)
    results = {each.check_id: each for each in report.results}
    assert results["runtime.startup"].status is CheckStatus.FAIL
    assert results["runtime.reward_well_formed"].status is CheckStatus.SKIP
