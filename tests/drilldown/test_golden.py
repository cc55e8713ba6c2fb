"""Episodes made today are those that were made when the golden file was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drilldown_env.config import VERSIONS, DrillConfig
from research.drilldown.digests import compute_digests, iter_golden_configs

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden_digests.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    "known", GOLDEN["episodes"], ids=lambda known: str(known["config"]["seed"])
)
def test_an_episode_has_the_bytes_that_it_had(known: dict[str, Any]) -> None:
    assert compute_digests(DrillConfig(**known["config"])) == known


def test_the_golden_file_is_of_these_versions_and_whole() -> None:
    assert GOLDEN["versions"] == VERSIONS
    assert [DrillConfig(**each["config"]) for each in GOLDEN["episodes"]] == list(
        iter_golden_configs()
    )
