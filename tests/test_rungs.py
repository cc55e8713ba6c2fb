"""Rungs lie between the named levels, and a curriculum moves along them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from metric_tracker_rl.commands.rungs import ladder
from metric_tracker_rl.engine.certificate import certify_all
from metric_tracker_rl.engine.config import EpisodeConfig
from metric_tracker_rl.engine.levels import LEVELS
from metric_tracker_rl.engine.reporting_policy import policy_text
from metric_tracker_rl.engine.rungs import (
    DIFFICULTIES,
    EVERY_LEVEL,
    RUNG_LEVELS,
    STAGES,
    USUAL_COUNTS,
)
from metric_tracker_rl.engine.session import EpisodeSession
from metric_tracker_rl.engine.vocabulary import GRADED
from openenv_kit.errors import InvalidValueError
from openenv_kit.play.curriculum import Curriculum


def test_every_third_rung_from_the_first_on_has_the_noise_of_a_named_level() -> None:
    for number, level in zip((1, 4, 7, 10), LEVELS.values(), strict=True):
        rung = replace(RUNG_LEVELS[f"rung_{number}"], name=level.name)
        if number in (4, 7):  # in between, they have decoys and more days
            length = {name: getattr(level, name) for name in ("days", "max_anomalies")}
            rung = replace(rung, **length, weekday_factors=level.weekday_factors, decoys=0)
        assert rung == level
        assert DIFFICULTIES[f"rung_{number}"] == pytest.approx(DIFFICULTIES[level.name])


def test_each_rung_is_harder_than_the_one_before() -> None:
    rungs = list(RUNG_LEVELS.values())
    for lower, higher in pairwise(rungs):
        assert DIFFICULTIES[lower.name] < DIFFICULTIES[higher.name]
        assert lower.sampling_noise < higher.sampling_noise
        assert lower.separation[1] > higher.separation[1]
        assert lower.rate_threshold >= higher.rate_threshold
        assert (lower.decoys, lower.days) <= (higher.decoys, higher.days)
        assert USUAL_COUNTS[lower.name] <= USUAL_COUNTS[higher.name]
    assert (DIFFICULTIES["rung_1"], DIFFICULTIES["rung_10"]) == (0.0, 1.0)


def test_the_policy_tells_every_rungs_thresholds_as_they_are() -> None:
    for level in EVERY_LEVEL.values():
        told = policy_text(EpisodeConfig(1).funnel_spec, level)
        for limit in (level.count_threshold, level.rate_threshold, level.break_threshold):
            assert f"{limit:.0%}" == f"{limit * 100:g}%"
            assert f"{limit:.0%}" in told
        assert f"daytime share {level.mix_threshold:g};" in told


def test_episodes_of_every_rung_are_certified() -> None:
    configs = [
        EpisodeConfig(seed, "mixed", name, "low", USUAL_COUNTS[name])
        for name in RUNG_LEVELS
        for seed in range(2)
    ]
    assert [each.config for each in certify_all(configs) if not each.holds] == []


@pytest.mark.parametrize(
    ("difficulty", "rung"), [(0, "rung_1"), (0.34, "rung_4"), (1.0, "rung_10")]
)
def test_a_reset_by_number_plays_the_nearest_rung_with_its_anomalies(
    difficulty: float, rung: str
) -> None:
    session = EpisodeSession()
    opening = session.reset(difficulty=difficulty, seed=5, scenario_family="mixed")
    assert opening.content["config"]["difficulty"] == rung
    assert opening.content["expected_row_count"] == USUAL_COUNTS[rung]
    session.reset(difficulty=rung, seed=5, anomaly_count=1)
    assert session.episode is not None
    assert len(session.episode.expected_rows) == 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [(1.5, "from 0 to 1"), (-1, "from 0 to 1"), (True, "True"), ("rung_11", "rung_1")],
)
def test_a_difficulty_that_is_none_is_told_with_what_is_allowed(wrong: Any, told: str) -> None:
    reply = EpisodeSession().reset(difficulty=wrong)
    assert reply.status == "error"
    assert told in reply.message


def test_a_curriculum_goes_up_and_down_with_the_success_rate() -> None:
    curriculum = Curriculum(STAGES, window=4, up=0.75, down=0.5, success=0.9, seed=7)
    assert curriculum.next() == {"difficulty": "rung_1", "scenario_family": "mixed", "seed": 7}
    assert curriculum.next()["seed"] == 8
    for reward in (1.0, 0.2, 0.95):
        curriculum.record(reward)
    assert (curriculum.stage, curriculum.success_rate) == (0, pytest.approx(2 / 3))
    curriculum.record(1.0)
    assert (curriculum.stage, curriculum.success_rate) == (1, 0.0)
    for reward in (1.0, 0.0, 0.0, 0.0):
        curriculum.record(reward, stage=0)  # late ones of the stage before
    assert curriculum.stage == 1
    for reward in (1.0, 0.0, 1.0, 0.0):
        curriculum.record(reward)
    assert curriculum.stage == 1, "between the two rates it stays"
    curriculum.record(0.0)
    assert curriculum.stage == 0


def test_a_curriculum_stays_on_its_first_and_its_last_stage() -> None:
    curriculum = Curriculum([{"difficulty": "easy"}], window=1)
    for reward in (0.0, 1.0, 1.0, 0.0):
        curriculum.record(reward)
        assert curriculum.stage == 0


@pytest.mark.parametrize(
    "wrong", [{"stages": []}, {"window": 0}, {"up": 0.2, "down": 0.2}, {"up": 1.5}, {"down": -0.1}]
)
def test_a_curriculum_that_could_not_move_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="llowed"):
        Curriculum(**{"stages": STAGES, **wrong})


def test_a_stronger_player_earns_more_on_a_rung() -> None:
    means = [line[GRADED] for line in ladder(STAGES[4], 6)]
    assert means[0] > means[2] > means[-1]
