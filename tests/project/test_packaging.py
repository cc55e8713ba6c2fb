"""Manifest, image and project files agree with each other."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from support.paths import ROOT

MANIFEST = yaml.safe_load((ROOT / "openenv.yaml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def oracle() -> ModuleType:
    spec = importlib.util.spec_from_file_location("oracle", ROOT / "validation" / "oracle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copied_from_context() -> list[str]:
    """What the Dockerfile copies out of the build context."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:-1] for line in lines if re.match(r"COPY (?!--from)", line)]
    return [name for names in copies for name in names]


def test_manifest_and_project_have_the_same_version() -> None:
    import metric_tracker_rl

    assert MANIFEST["version"] == PROJECT["version"] == metric_tracker_rl.__version__
    assert f"## {PROJECT['version']} " in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.slow
def test_command_prints_the_project_version() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "openenv_kit.cli", "--version"], capture_output=True, text=True
    )
    assert said.stdout.strip() == PROJECT["version"]


def test_the_manifest_declares_the_tools_that_a_reset_without_arguments_offers() -> None:
    from metric_tracker_rl.environment import ENVIRONMENT

    declared = MANIFEST["validation"]["capabilities"]["declared_tools"]
    assert sorted(declared) == sorted(ENVIRONMENT.tools.select_for_episode({}).tool_names)


def test_the_framework_accepts_the_manifest_and_the_probe_plan() -> None:
    from openenv.validation.parsers.openenv_yaml import OpenEnvYamlParser
    from openenv.validation.runtime.contracts import load_runtime_plan

    manifest = OpenEnvYamlParser().parse(ROOT)
    plan = load_runtime_plan(ROOT, manifest.execution)
    assert plan.actions[-1] == {"classifications": []}
    assert (ROOT / manifest.capabilities.oracle.location).is_file()


def test_the_image_gets_every_file_that_the_dockerfile_copies() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert set(copied_from_context()) == allowed
    assert [name for name in allowed if not (ROOT / name).exists()] == []


def test_the_dockerfile_lints_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is packaged for Linux only")
    found = subprocess.run(
        [hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


FULL_RUN = [
    "[START] task=easy_single_spike env=metric_tracker_rl model=reference",
    "[STEP] step=1 action=list_dates({}) reward=0.01 done=false error=null",
    "[END] success=true steps=2 score=0.99 rewards=0.01,0.99",
]


def test_oracle_check_accepts_a_run_with_full_scores() -> None:
    assert oracle().has_full_scores(FULL_RUN * 3)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        FULL_RUN[:2],
        [*FULL_RUN, FULL_RUN[0]],
        [FULL_RUN[0], FULL_RUN[2].replace("true", "false")],
        [*FULL_RUN, FULL_RUN[0], FULL_RUN[2].replace("score=0.99", "score=0.98")],
    ],
    ids=["nothing", "no end", "one end missing", "no success", "one score short"],
)
def test_oracle_check_rejects_a_run_below_the_full_score(lines: list[str]) -> None:
    assert not oracle().has_full_scores(lines)
