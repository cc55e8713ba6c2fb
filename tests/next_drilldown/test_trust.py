"""Splits, certificates and the audit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from drilldown_next import certificate
from drilldown_next.certificate import certify_episode
from drilldown_next.config import EpisodeConfig
from drilldown_next.environment import ENVIRONMENT
from drilldown_next.generator import generate_counts
from drilldown_next.levels import LEVELS, RUNGS
from drilldown_next.policies.exploits import (
    CEILING,
    EXPLOITS,
    DateGuess,
    DrilldownAudit,
    copy_alert_row,
    measure_earnings,
)
from drilldown_next.products import PRODUCTS
from drilldown_next.tasks import SPLITS, TASKS, resolve_level, select_task
from openenv_kit.errors import InvalidValueError, UnknownNameError
from openenv_kit.sealed_split import SALT_VARIABLE
from openenv_kit.trust.audit import AuditJob
from openenv_kit.trust.certify import certify_configuration

from .cases import NO_ROOT, ONE_ROOT, config_of, episode_of

SIZES = {"train": 10_240, "validation": 512, "test": 512, "sealed": 512}
RUNG_SIZES = {"train": 2_048, "validation": 128, "test": 128, "sealed": 128}


def test_splits_have_their_sizes() -> None:
    assert {name: SPLITS.size(name) for name in SIZES} == SIZES
    for rung in RUNGS:
        assert {name: SPLITS.size(f"{name}_{rung}") for name in RUNG_SIZES} == RUNG_SIZES


@pytest.mark.parametrize("split", ["validation", "test"])
def test_levels_and_products_have_equal_parts(split: str) -> None:
    configs = [SPLITS.task(split, index).config for index in range(SPLITS.size(split))]
    parts = Counter((config.difficulty, config.product) for config in configs)
    assert set(parts.values()) == {512 // 16}
    assert len(parts) == len(LEVELS) * len(PRODUCTS)
    empty = Counter(config.difficulty for config in configs if config.root_count == 0)
    assert set(empty.values()) == {512 // 4 // 8}


@pytest.mark.slow
def test_no_episode_is_in_two_splits() -> None:
    seen: set[EpisodeConfig] = set()
    names = [*("validation", "test"), *(f"test_{rung}" for rung in RUNGS)]
    names += [f"validation_{rung}" for rung in RUNGS]
    for split in names:
        configs = {SPLITS.task(split, index).config for index in range(SPLITS.size(split))}
        assert len(configs) == SPLITS.size(split)
        assert not configs & seen
        seen |= configs


def test_sealed_tasks_need_the_secret(monkeypatch) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    with pytest.raises(InvalidValueError):
        SPLITS.task("sealed", 0)
    monkeypatch.setenv(SALT_VARIABLE, "a" * 40)
    one = SPLITS.task("sealed", 0).config
    monkeypatch.setenv(SALT_VARIABLE, "b" * 40)
    assert SPLITS.task("sealed", 0).config != one


def test_public_fields_of_a_task_show_neither_seed_nor_roots() -> None:
    assert SPLITS.task("test", 3).as_public_dict().keys().isdisjoint({"seed", "root_count"})


def test_reset_arguments_select_tasks() -> None:
    name = next(iter(TASKS))
    assert select_task().task_id == name
    assert select_task(task_id=name, seed=5).config == replace(TASKS[name], seed=5)
    assert select_task(split="test", index=7).config == SPLITS.task("test", 7).config
    assert select_task(difficulty="hard", product="saas_trial").config.difficulty == "hard"
    assert resolve_level(0.0) == "rung_1"
    assert resolve_level(1.0) == "hard"
    for arguments in ({"task_id": "easy_x"}, {"difficulty": "eazy"}, {"product": "shop"}):
        with pytest.raises(UnknownNameError):
            select_task(**arguments)
    for arguments in ({"split": "test", "seed": 1}, {"difficulty": 1.5}, {"difficulty": "rung_7"}):
        with pytest.raises(InvalidValueError):
            select_task(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize("config", [ONE_ROOT, NO_ROOT, config_of("rung_1"), config_of("rung_4")])
def test_certificate_holds(config: EpisodeConfig) -> None:
    found = certify_episode(config)
    assert found.holds
    assert found.roots == found.separable_roots == config.root_count


@pytest.mark.slow
def test_certificate_does_not_hold_without_proof(monkeypatch) -> None:
    found = certify_episode(ONE_ROOT)
    for change in (
        {"score": 0.7},
        {"calls": 1000},
        {"is_planned": False},
        {"is_clean_without_roots": False},
        {"separable_roots": 0},
        {"is_attributed": False},
    ):
        assert not replace(found, **change).holds
    # Counts in which the loss is missing do not have the planned answer.
    generated = generate_counts(ONE_ROOT)
    clean = replace(generated, counts=generated.draw.sample_counts())
    monkeypatch.setattr(certificate, "generate_counts", lambda _: clean)
    lost = certify_episode(ONE_ROOT)
    assert not lost.is_planned
    assert lost.score == 0.0


def test_kit_finds_the_certifier_and_tabulates(monkeypatch) -> None:
    monkeypatch.setattr("openenv_kit.trust.certify.get_environment", lambda _: ENVIRONMENT)
    configs = list(certificate.iter_configurations([1], levels=["rung_1"]))
    assert [config.product for config in configs] == list(PRODUCTS)
    found = [certify_configuration("drilldown", config) for config in configs[:2]]
    table = certificate.tabulate_certificates(found)
    assert all(len(row) == len(table.titles) for row in table.rows)
    with pytest.raises(UnknownNameError):
        list(certificate.iter_configurations([1], extra_reset_arguments={"seed": 3}))


def test_audit_bounds_every_policy_that_does_not_investigate() -> None:
    audit = DrilldownAudit(ENVIRONMENT)
    assert set(EXPLOITS) == {"copy_alert", "copy_log_entry", "constant_row"}
    for name in (*EXPLOITS, "random", "null"):
        assert audit.get_exploit_or_baseline(name).ceiling == CEILING
    assert audit.get_exploit_or_baseline("reference").ceiling.max_mean is None


@pytest.mark.slow
def test_audit_plays_a_rung_from_its_own_split() -> None:
    audit = DrilldownAudit(ENVIRONMENT)
    assert audit.count_episodes("split:test", "rung_1") == 128
    assert audit.build_reset_arguments("rung_1", 3)["split"] == "train_rung_1"
    played = audit.run_job(AuditJob("null", "rung_1", 0, 3, "split:test"))
    assert [episode.score for episode in played] == [0.0] * 3


def test_copied_alert_earns_what_it_gives() -> None:
    """On rung_1 the alert gives the days, so a right guess of the value is exact."""
    episode = episode_of(config_of("rung_1", 2))
    scores = {
        value: measure_earnings([episode], copy_alert_row, DateGuess(value=value))
        for value in range(7)
    }
    assert max(scores.values()) >= 0.7
    assert sorted(scores.values())[-2] == 0.0
