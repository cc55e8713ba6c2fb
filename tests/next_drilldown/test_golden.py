"""Episodes generated today are those of the golden file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drilldown_next.config import VERSIONS, EpisodeConfig
from research.drilldown.golden_digests import compute_digests, iter_golden_configs

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden_digests.json").read_text())


def name_episode(entry: dict[str, Any]) -> str:
    return "{difficulty}-{product}-{seed}".format(**entry["config"])


@pytest.mark.slow
@pytest.mark.parametrize("entry", GOLDEN["episodes"], ids=name_episode)
def test_episode_has_its_golden_digests(entry: dict[str, Any]) -> None:
    assert compute_digests(EpisodeConfig(**entry["config"])) == entry


def test_golden_file_is_complete_and_of_these_versions() -> None:
    assert GOLDEN["versions"] == VERSIONS
    configs = [EpisodeConfig(**entry["config"]) for entry in GOLDEN["episodes"]]
    assert configs == list(iter_golden_configs())
    assert len(set(configs)) == 48
