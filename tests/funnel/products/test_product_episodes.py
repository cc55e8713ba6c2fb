"""Episodes of products: data, labels, identity and policy text."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metric_tracker_rl.engine.certification import product_golden_digests
from metric_tracker_rl.engine.certification.product_golden_digests import list_product_differences
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.product_policy import list_product_families
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.report_row import NUMBER_FIELDS
from metric_tracker_rl.engine.definitions.rungs import EVERY_LEVEL
from metric_tracker_rl.engine.generation.generate import GeneratedEpisode, generate_episode
from metric_tracker_rl.engine.reporting_policy.policy_text import format_policy_text
from openenv_kit.errors import InvalidValueError
from openenv_kit.own_data.stage_counts import Grain
from support.oldest_packages import in_oldest_environment
from support.paths import ROOT, TESTS
from support.product_labels import label_window
from support.simulated_products import TableShape, build_product

SHAPES = {
    "two stages by hour": TableShape(2),
    "two stages by day, few events": TableShape(2, Grain.DAY, volume=60.0),
    "three stages by hour, few events": TableShape(3, volume=90.0),
    "three stages by day, closed on Sunday": TableShape(3, Grain.DAY, closed_weekdays=(6,)),
    "four stages by hour": TableShape(4),
    "four stages by hour, closed on weekends": TableShape(4, closed_weekdays=(5, 6)),
    "eight stages by hour": TableShape(8),
    "eight stages by day": TableShape(8, Grain.DAY),
}
GOLDEN_FILE = TESTS / "funnel" / "products" / "golden_products.json"
GOLDEN: dict[str, Any] = json.loads(GOLDEN_FILE.read_text())


def draw(
    shape: TableShape, seeds: range, levels: tuple[str, ...] = tuple(LEVELS)
) -> Iterator[tuple[EpisodeConfig, GeneratedEpisode]]:
    product = build_product(shape)
    for level in levels:
        families = (*list_product_families(product, level), MIXED)
        for seed in seeds:
            family = families[seed % len(families)]
            count = seed % 6 if family == MIXED else 1 + seed % 2
            config = EpisodeConfig(seed, family, level, anomaly_count=count, product=product)
            yield config, generate_episode(config)


def without_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in NUMBER_FIELDS}


def test_golden_episodes_of_products_have_their_bytes_and_labels() -> None:
    assert list_product_differences(GOLDEN) == []


def test_golden_check_reports_a_changed_digest_and_a_changed_version() -> None:
    name = next(iter(GOLDEN["products"]))
    small = {**GOLDEN, "products": {name: GOLDEN["products"][name]}}
    small["episodes"] = [each for each in GOLDEN["episodes"] if each["product"] == name]
    changed = {**small["episodes"][0], "labels": "0"}
    content = {**small, "twin_version": "0", "episodes": [changed, *small["episodes"][1:]]}
    version, missing, additional = list_product_differences(content)
    assert version.startswith("twin_version is '0'")
    assert "'labels': '0'" not in missing
    assert "'labels': '0'" in additional


@pytest.mark.parametrize("name", SHAPES)
def test_labels_are_the_rows_of_a_labeller_written_from_the_text(name: str) -> None:
    row_count = 0
    for config, generated in draw(SHAPES[name], range(16)):
        assert config.product is not None
        calendar = [entry.as_public_dict(generated.dates) for entry in generated.calendar]
        expected = label_window(
            generated.hourly,
            generated.dates,
            config.product.to_mapping(),
            EVERY_LEVEL[config.difficulty].product_threshold_factor,
            calendar,  # type: ignore[arg-type]
        )
        rows = [row.as_dict() for row in generated.labels]
        assert [without_numbers(row) for row in rows] == [without_numbers(row) for row in expected]
        for row, expected_row in zip(rows, expected, strict=True):
            for field in NUMBER_FIELDS:
                # The labeller rounds medians of exact values, the engine those of rounded ones.
                assert row[field] == pytest.approx(expected_row[field], abs=2e-4)  # type: ignore[literal-required]
        row_count += len(expected)
    assert row_count > 40


@pytest.mark.parametrize("name", SHAPES)
def test_planned_anomalies_are_the_rows_and_closed_days_stay_without_events(name: str) -> None:
    shape = SHAPES[name]
    for config, generated in draw(shape, range(8)):
        planned = [
            (generated.dates[anomaly.day], *anomaly.root) for anomaly in generated.planned_anomalies
        ]
        rows = [
            (row.date, row.entity_type, row.entity_name, row.anomaly_type)
            for row in generated.labels
        ]
        assert sorted(planned) == sorted(rows)
        assert len(planned) == config.anomaly_count
        weekdays = np.array(generated.dates, dtype="datetime64[D]").astype(int) + 3
        is_closed = np.isin(weekdays % 7, shape.closed_weekdays)
        assert not generated.hourly[is_closed].any()
        assert generated.hourly.shape[1] == (24 if shape.grain == Grain.HOUR else 1)


def test_counts_of_a_product_stay_possible_outside_of_faults() -> None:
    for name in SHAPES:
        for _, generated in draw(SHAPES[name], range(6), levels=("hard", "expert")):
            faults = {
                a.day for a in generated.planned_anomalies if "quality" in a.root.anomaly_type
            }
            days = [day for day in range(len(generated.dates)) if day not in faults]
            assert (np.diff(generated.hourly[days], axis=-1) <= 0).all()
            assert (generated.hourly >= 0).all()


def test_rung_is_played_with_thresholds_of_its_level_and_decoys_like_anomalies() -> None:
    product = build_product(TableShape(4))
    config = EpisodeConfig(3, MIXED, "rung_2", anomaly_count=3, product=product)
    generated = generate_episode(config)
    assert len(generated.labels) == 3
    easy = EpisodeConfig(3, MIXED, "easy", product=product).level_with_policy_parameters
    assert config.level_with_policy_parameters.series_thresholds == easy.series_thresholds
    assert sum(bool(entry.explains) for entry in generated.calendar) == 2


def test_product_has_no_rung_with_drawn_terms() -> None:
    product = build_product(TableShape(4))
    with pytest.raises(InvalidValueError, match="rung_3"):
        EpisodeConfig(3, MIXED, "rung_3", product=product)


def test_products_of_one_name_with_different_numbers_share_no_episode() -> None:
    product = build_product(TableShape(4))
    first = product.series[0]
    edited = replace(
        product,
        series=(
            replace(first, levels=(first.levels[0] + 1, *first.levels[1:])),
            *product.series[1:],
        ),
    )
    one, other = (EpisodeConfig(5, product=each) for each in (product, edited))
    assert one.random_stream_key_json != other.random_stream_key_json
    assert generate_episode(one).dates != generate_episode(other).dates
    same = EpisodeConfig(5, product=replace(product))
    assert same == one
    assert hash(same) == hash(one)


def test_identity_names_a_product_only_if_there_is_one() -> None:
    product = build_product(TableShape(2))
    with_product = json.loads(EpisodeConfig(5, product=product).random_stream_key_json)
    without = json.loads(EpisodeConfig(5).random_stream_key_json)
    assert with_product.keys() - without.keys() == {"product", "product_format", "twin"}
    assert with_product["product"] == product.digest
    assert with_product["funnel"] == product.name


@pytest.mark.parametrize(
    ("shape", "absent", "present"),
    [
        (
            TableShape(2),
            ("(3)", "(5)", "Composite", "composite"),
            ("(2)", "share of a day's visit"),
        ),
        (TableShape(3, Grain.DAY), ("(2)", "aytime", "hourly", "any hour"), ("(3)", "(5)")),
        (TableShape(4), (), ("(1)", "(2)", "(3)", "(4)", "(5)", "(6)", "in any hour")),
    ],
)
def test_policy_text_states_every_threshold_and_only_rules_that_apply(
    shape: TableShape, absent: tuple[str, ...], present: tuple[str, ...]
) -> None:
    product = build_product(shape)
    config = EpisodeConfig(1, difficulty="hard", product=product)
    level, funnel = config.level_with_policy_parameters, config.funnel_with_policy_daytime
    text = format_policy_text(funnel, level)
    assert [each for each in absent if each in text] == []
    assert [each for each in present if each not in text] == []
    for name, threshold in product.thresholds_by_column.items():
        shown = "daytime share" if ":" in name else name
        value = f"{threshold:g}" if ":" in name else f"{round(100 * threshold, 4):g}%"
        assert f"{shown} {value}" in text
    assert "same weekday" in text
    assert "Where a baseline is 0, nothing is flagged." in text
    assert level.policy_version_with_suffixes == "1+series"


def test_policy_version_of_a_level_with_a_calendar_names_both() -> None:
    product = build_product(TableShape(4))
    config = EpisodeConfig(1, difficulty="expert", product=product)
    assert config.level_with_policy_parameters.policy_version_with_suffixes == "1+series+calendar"


def test_clean_days_of_every_level_keep_clear_of_thresholds() -> None:
    for name in ("four stages by hour", "two stages by day, few events"):
        for _, generated in draw(SHAPES[name], range(8)):
            series = generated.series
            planned = {anomaly.day for anomaly in generated.planned_anomalies}
            clean = [day for day in range(len(generated.dates)) if day not in planned]
            sizes = np.abs(series.unexplained_deviations[clean]) / series.thresholds
            assert (sizes < 0.9).all()


@pytest.mark.slow
def test_the_module_checks_the_file_and_can_write_it(tmp_path: Path) -> None:
    written = tmp_path / "golden.json"
    written.write_text(json.dumps({"products": GOLDEN["products"]}))
    command = [sys.executable, "-m", product_golden_digests.__name__, str(written), "--write"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith(f"{len(GOLDEN['episodes'])} episodes, 0 differences\n")
    assert written.read_text() == GOLDEN_FILE.read_text()


@pytest.mark.slow
@pytest.mark.network
def test_the_golden_file_of_products_holds_on_the_oldest_numpy_allowed() -> None:
    output = in_oldest_environment(
        "-m", product_golden_digests.__name__, str(GOLDEN_FILE), packages=("numpy",)
    )
    episodes = len(GOLDEN["episodes"])
    assert re.fullmatch(rf"numpy 1\.26\.\d+: {episodes} episodes, 0 differences\n", output)
