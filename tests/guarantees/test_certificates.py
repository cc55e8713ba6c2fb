"""Certificates of episodes, and the command that writes them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.engine.certification import certify
from metric_tracker_rl.engine.certification.certificate import (
    FunnelCertificate,
    certificate_from_dict,
)
from metric_tracker_rl.engine.certification.certify import (
    CERTIFIED_ANOMALY_COUNTS,
    certify_episode,
    iter_configurations,
)
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.rungs import DEFAULT_ANOMALY_COUNTS, RUNG_LEVELS
from metric_tracker_rl.engine.definitions.versions import GENERATOR_VERSION
from metric_tracker_rl.engine.generation.generate import generate_episode
from metric_tracker_rl.engine.generation.planned_anomaly import PlannedAnomaly
from metric_tracker_rl.policies import get_policy
from openenv_kit.environment import get_environment
from support.command_line import run_cli

EXPERT = EpisodeConfig(3, "mixed", "expert", "high", 6)


@pytest.mark.slow
def test_an_episode_of_every_level_is_certified_with_its_margins() -> None:
    for level in ("easy", "medium", "hard", "expert"):
        found = certify_episode(EpisodeConfig(9, "mixed", level, "high", 5))
        assert found.holds, found
        assert len(found.rows) == found.counterfactual == 5
        assert found.smallest_row_margin > 1.1


def test_episode_that_breaks_a_guarantee_gets_no_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = EpisodeConfig(9, "funnel_break", "easy", "low", 2)
    good = certify_episode(config)
    assert good.holds
    for broken in (
        replace(good, score=0.999),
        replace(good, guard_violations=1),
        replace(good, unique=False),
        replace(good, counterfactual=1),
    ):
        assert not broken.holds
    # A generous grader makes reports beside the right one as good.
    monkeypatch.setattr("metric_tracker_rl.engine.grading.grader.DUPLICATE_PENALTY", (0.0, 0.0))
    assert not certify_episode(config).unique


def test_certificate_fails_for_a_row_that_remains_without_its_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true_generate = certify.generate_episode

    def mislaid(config: Any) -> Any:
        draw = true_generate(config)
        clean = draw.clean.copy()
        day = draw.planned_anomalies[0].day
        clean[day] = draw.hourly[day]  # the anomaly was in the clean data all along
        return replace(draw, clean=clean)

    config = EpisodeConfig(9, "hourly_traffic_mix_shift", "easy", "low", 2)
    monkeypatch.setattr(certify, "generate_episode", mislaid)
    assert certify_episode(config).counterfactual == 1


@pytest.mark.slow
def test_certificates_are_written_with_their_versions(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "proofs.jsonl"
    command = ("certify", "--seeds", "1", "--difficulty", "easy", "--workers", "1", "--out")
    assert run_cli(*command, str(out)).exit_code == 0
    proofs = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(proofs) == 25
    assert all(each["versions"]["generator"] == GENERATOR_VERSION for each in proofs)


def test_certify_with_unknown_engine_or_level_names_the_nearest() -> None:
    assert "Did you mean" in run_cli("certify", "--engine", "rays").output
    assert run_cli("audit", "--difficulty", "exprt").exit_code == 2


def test_certify_without_difficulty_leaves_out_the_rungs(monkeypatch: pytest.MonkeyPatch) -> None:
    certified: list[str] = []

    def record_levels(_: range, *, levels: list[str], extra_reset_arguments: object) -> list[Any]:
        certified.extend(levels)
        return []

    monkeypatch.setattr(certify, "iter_configurations", record_levels)
    run_cli("certify", "--seeds", "1", "--workers", "1")
    assert certified == ["easy", "medium", "hard", "expert"]


def test_certificate_and_causes_survive_json() -> None:
    found = certify_episode(EXPERT)
    again = certificate_from_dict(json.loads(json.dumps(found.as_dict())))
    assert isinstance(again, FunnelCertificate)
    assert (again.rows, again.config.random_stream_key_json) == (
        found.rows,
        found.config.random_stream_key_json,
    )
    assert all(
        isinstance(cause, PlannedAnomaly) for cause in generate_episode(EXPERT).planned_anomalies
    )


def test_certificate_of_solved_and_clear_episode_is_valid() -> None:
    made = certify_episode(EpisodeConfig(4, "mixed", "hard", "low", 5))
    assert made.holds
    assert (made.score, made.guard_violations) == (1.0, 0)
    assert made.draws >= 1


def test_certificate_of_episode_that_the_policy_misses_is_invalid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "metric_tracker_rl.engine.certification.certify.get_policy",
        lambda _: get_policy("null"),
    )
    assert not certify_episode(EpisodeConfig(4, "mixed", "hard", "low", 5)).holds


def test_the_certified_grid_is_every_family_level_and_count() -> None:
    configs = list(iter_configurations(range(2)))
    assert CERTIFIED_ANOMALY_COUNTS == (1, 3, 5)
    assert len(configs) == len(set(configs)) == 2 * len(LEVELS) * (8 * 3 + 1)
    assert sum(config.anomaly_count == 0 for config in configs) == 2 * len(LEVELS)


@pytest.mark.slow
def test_episodes_of_every_rung_are_certified() -> None:
    configs = [
        EpisodeConfig(seed, "mixed", name, "low", DEFAULT_ANOMALY_COUNTS[name])
        for name in RUNG_LEVELS
        for seed in range(2)
    ]
    assert [config for config in configs if not certify_episode(config).holds] == []


@pytest.mark.slow
def test_every_kind_of_task_of_a_rung_is_certified() -> None:
    splits: Any = get_environment().splits
    configs = [
        splits.task(f"test_{rung}", index).config
        for rung in ("rung_1", "rung_2", "rung_5")
        for index in range(24)
    ]
    assert [config for config in configs if not certify_episode(config).holds] == []
