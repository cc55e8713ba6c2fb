"""Drill-down episodes made today are the episodes made when the golden file was written."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metric_tracker_rl.drilldown import digests
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.levels import LEVELS

ROOT = Path(__file__).parent.parent.parent
GOLDEN_FILE = Path(__file__).parent / "golden_digests.json"
GOLDEN: dict[str, Any] = json.loads(GOLDEN_FILE.read_text())
EPISODES = len(GOLDEN["episodes"])


def test_every_golden_episode_has_its_bytes_labels_log_and_floats() -> None:
    assert digests.differences(GOLDEN) == []


def test_the_golden_file_covers_every_level_product_and_number_of_causes() -> None:
    configs = [entry["config"] for entry in GOLDEN["episodes"]]
    assert len(configs) >= 48
    assert {(c["difficulty"], c["product"]) for c in configs} == {
        (level, product) for level in LEVELS for product in DOMAINS
    }
    assert {c["causes"] for c in configs} == {0, 1, 2, 3, 4}
    assert len({entry["data"] for entry in GOLDEN["episodes"]}) == len(configs)


@pytest.mark.parametrize("part", digests.PARTS)
def test_one_changed_digest_is_told_with_its_configuration(part: str) -> None:
    changed = {**GOLDEN, "episodes": [copy.deepcopy(GOLDEN["episodes"][3])]}
    changed["episodes"][0][part] = "0" * 64
    [told] = digests.differences(changed)
    assert told.startswith(f"{part} differ: DrillConfig(seed=303")


def test_another_version_is_told() -> None:
    [told] = digests.differences({**GOLDEN, "definition_version": "0", "episodes": []})
    assert "definition_version is '0' in the file" in told


@pytest.mark.slow
@pytest.mark.network
def test_the_golden_file_holds_on_the_oldest_numpy_allowed() -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv, which makes the other environment, is not installed")
    clean = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    wanted = ("--with", "numpy==1.26.*", "--with", "pydantic==2.10.*")
    module = ("python", "-m", "metric_tracker_rl.drilldown.digests", str(GOLDEN_FILE))
    run = subprocess.run(
        [uv, "run", "--quiet", "--no-project", "--python", "3.11", *wanted, *module],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.fullmatch(rf"numpy 1\.26\.\d+: {EPISODES} episodes, 0 differences\n", run.stdout)
    assert not np.__version__.startswith("1.26"), "the locked numpy is another one"
