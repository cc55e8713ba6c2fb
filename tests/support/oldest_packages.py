"""A virtual environment with the oldest packages that the project allows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

from support.paths import ROOT

DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def oldest(package: str) -> str:
    """Return the requirement for the oldest minor version that the project allows."""
    [spec] = [each for each in DEPENDENCIES if each.startswith(f"{package}>=")]
    found = re.search(r">=(\d+\.\d+)", spec)
    assert found is not None
    return f"{package}=={found.group(1)}.*"


def in_oldest_environment(*command: str, packages: tuple[str, ...]) -> str:
    """Run Python code with the oldest allowed packages and return its output."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv, which makes the other environment, is not installed")
    python = f"3.{min(sys.version_info.minor, 12)}"  # the last that the oldest NumPy knows
    wanted = [part for package in packages for part in ("--with", oldest(package))]
    clean = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    run = subprocess.run(
        [uv, "run", "--quiet", "--no-project", "--python", python, *wanted, "python", *command],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout
