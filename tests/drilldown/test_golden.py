"""Drill-down episodes made today are the episodes made when the golden file was written."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oldest_packages import in_oldest_environment

from metric_tracker_rl.drilldown import digests
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.levels import LEVELS

ROOT = Path(__file__).parent.parent.parent
GOLDEN_FILE = Path(__file__).parent / "golden_digests.json"
GOLDEN: dict[str, Any] = json.loads(GOLDEN_FILE.read_text())
EPISODES = len(GOLDEN["episodes"])


@pytest.mark.slow
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
    told = in_oldest_environment(
        "-m",
        "metric_tracker_rl.drilldown.digests",
        str(GOLDEN_FILE),
        packages=("numpy", "pydantic"),
    )
    assert re.fullmatch(rf"numpy 1\.26\.\d+: {EPISODES} episodes, 0 differences\n", told)
    assert not np.__version__.startswith("1.26"), "the locked numpy is another one"
