"""The bit stream from which episodes are drawn."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED, RATE_DROP
from metric_tracker_rl.engine.generation.generate import generate_episode
from openenv_kit.bitstream import BitStream


def test_neighbouring_seeds_share_no_word_of_the_bit_stream() -> None:
    words = [
        set(BitStream(EpisodeConfig(seed).random_stream_key_json).read_raw_words(4096).tolist())
        for seed in range(20)
    ]
    assert len(set.union(*words)) == 20 * 4096


def test_the_attempts_of_one_episode_share_no_word_either() -> None:
    identity = EpisodeConfig(3).random_stream_key_json
    words = [
        set(BitStream(identity, attempt).read_raw_words(4096).tolist()) for attempt in range(5)
    ]
    assert len(set.union(*words)) == 5 * 4096


def test_neighbouring_seeds_share_no_data() -> None:
    draws = [generate_episode(EpisodeConfig(seed, MIXED, "easy", "low", 0)) for seed in range(8)]
    assert len({draw.dates[0] for draw in draws}) == 8
    for one, other in itertools.pairwise(draws):
        alike = (one.hourly[:, :, 0] == other.hourly[:, :, 0]).mean()
        assert alike < 0.03  # night hours are small numbers, some of which meet by chance


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"difficulty": "medium"},
        {"scenario_family": RATE_DROP},
        {"anomaly_density": "high"},
        {"anomaly_count": 3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_the_configuration_changes_the_stream(change: dict[str, Any]) -> None:
    base = EpisodeConfig(0)
    other = EpisodeConfig(**{"seed": 0, **change})
    assert BitStream(base.random_stream_key_json).read_raw_words(1) != BitStream(
        other.random_stream_key_json
    ).read_raw_words(1)
