"""Funnel, levels and refusals of a product, and the resets that use it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from metric_tracker_rl.engine.certification.plannable_families import list_plannable_families
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.product_policy import (
    build_product_funnel,
    build_product_level,
    list_product_families,
    list_product_levels,
)
from metric_tracker_rl.engine.configuration.product_splits import build_product_splits
from metric_tracker_rl.engine.configuration.resolve_task import resolve_task_of_reset_arguments
from metric_tracker_rl.engine.definitions.anomaly_types import (
    FUNNEL_BREAK,
    MIX_SHIFT,
    MIXED,
    RATE_DROP,
)
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import BaselineKind
from metric_tracker_rl.engine.definitions.thresholds import get_policy_limits
from metric_tracker_rl.engine.generation import generate
from metric_tracker_rl.engine.generation.planned_anomaly import CleanDay
from metric_tracker_rl.products.field_reader import ProductRefused
from metric_tracker_rl.products.product import Product, ProductLevel
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import GenerationError, InvalidValueError
from openenv_kit.own_data.stage_counts import Grain
from openenv_kit.splits import SEALED_SPLIT
from support.simulated_products import TableShape, build_product

OFF = ProductLevel(is_on=False, families=(), certified=0, reason="29 a day: too few")


def build_product_without(*levels: str) -> Product:
    product = build_product(TableShape(4))
    return replace(product, levels=product.levels | dict.fromkeys(levels, OFF))


def test_thresholds_of_a_level_are_the_products_times_the_factor_rounded_up() -> None:
    product = build_product(TableShape(4))
    for name, factor in {"easy": 1.3, "medium": 1.15, "hard": 1.0, "expert": 1.0}.items():
        level = build_product_level(product, name)
        limits = get_policy_limits(build_product_funnel(product), level)
        for threshold, here in zip(
            product.thresholds_by_column.values(), limits.thresholds, strict=True
        ):
            assert -1e-9 <= here - threshold * factor < 0.001
            assert round(here, 3) == here
        steps = limits.thresholds[4:7]
        assert limits.break_thresholds == tuple(
            min(0.85, max(0.35, round(1.6 * step, 6))) for step in steps
        )
        assert limits.bounds[0] == tuple(
            round(multiple * limits.thresholds[0], 6) for multiple in (1.25, 1.5, 2.0)
        )
        assert limits.bounds[-1] == (2.0, 6.0, 12.0)
        assert level.baseline == BaselineKind.SAME_WEEKDAY
        assert level.days == LEVELS[name].days


def test_more_than_ten_thousand_events_a_day_raise_the_bounds_of_impossible_counts() -> None:
    product = build_product(TableShape(2, volume=40_000.0))
    limits = get_policy_limits(build_product_funnel(product), build_product_level(product, "easy"))
    assert 7.0 < limits.bounds[-1].medium < 9.0
    assert limits.bounds[-1].critical == pytest.approx(6 * limits.bounds[-1].medium)


def test_daily_funnel_of_two_stages_has_no_composites_share_or_hours() -> None:
    funnel = build_product_funnel(build_product(TableShape(2, Grain.DAY)))
    assert funnel.composite_rate_names == ()
    assert funnel.daytime_share_names == ()
    assert funnel.hours_per_day == 1
    assert funnel.compares_daily_totals
    assert len(funnel.columns.excess_columns) == 1
    with pytest.raises(ValueError, match="no daytime share"):
        funnel.daytime_share_name  # noqa: B018
    with pytest.raises(ValueError, match="no daytime share"):
        funnel.columns.daytime_share  # noqa: B018


def test_rungs_are_on_if_their_level_is() -> None:
    levels = list_product_levels(build_product_without("medium"))
    assert list(levels) == ["easy", "hard", "expert", "rung_1", "rung_2"]
    assert list(list_product_levels(build_product_without("easy"))) == ["medium", "hard", "expert"]


def test_rung_has_the_families_of_its_level() -> None:
    product = build_product(TableShape(4))
    easy = replace(product.levels["easy"], families=(RATE_DROP, FUNNEL_BREAK))
    changed = replace(product, levels=product.levels | {"easy": easy})
    assert list_product_families(changed, "rung_2") == (RATE_DROP, FUNNEL_BREAK)


def test_level_that_is_off_is_refused_with_the_reason_and_the_levels_that_are_on() -> None:
    product = build_product_without("easy")
    with pytest.raises(InvalidValueError) as error:
        EpisodeConfig(1, difficulty="easy", product=product)
    assert "29 a day: too few" in str(error.value)
    assert "medium, hard, expert" in str(error.value)
    with pytest.raises(InvalidValueError, match="rung_2"):
        EpisodeConfig(1, difficulty="rung_2", product=product)


def test_product_without_levels_is_refused() -> None:
    product = replace(build_product(TableShape(4)), levels={})
    with pytest.raises(InvalidValueError, match="none"):
        EpisodeConfig(1, product=product)


def test_family_that_a_level_lacks_is_refused_with_those_it_has() -> None:
    product = build_product(TableShape(2, Grain.DAY))
    with pytest.raises(InvalidValueError) as error:
        EpisodeConfig(1, MIX_SHIFT, product=product)
    assert "rate_drop_from_median" in str(error.value)
    assert MIXED in str(error.value)


def test_drawn_policy_is_refused_with_a_product() -> None:
    with pytest.raises(InvalidValueError, match="'standard' with a product"):
        EpisodeConfig(1, policy="varied", product=build_product(TableShape(4)))


def test_anomaly_count_is_limited_by_the_open_weekdays() -> None:
    product = build_product(TableShape(3, Grain.DAY, closed_weekdays=(1, 3, 5, 6)))
    assert build_product_level(product, "easy").max_anomalies == 3
    with pytest.raises(InvalidValueError, match="0 to 3"):
        EpisodeConfig(1, anomaly_count=4, product=product)
    task = resolve_task_of_reset_arguments({"product": product, "anomaly_density": "high"})
    assert task.config.anomaly_count == 3


def test_reset_with_a_product_plays_mixed_on_its_easiest_level() -> None:
    product = build_product_without("easy")
    task = resolve_task_of_reset_arguments({"product": product.to_mapping(), "seed": 4})
    assert task.task_id == "custom"
    assert task.config == EpisodeConfig(4, MIXED, "medium", "low", 2, product=product)


@pytest.mark.parametrize("value", [3, ["x"], {}, {"format": 2}])
def test_reset_with_an_invalid_product_is_refused(value: Any) -> None:
    with pytest.raises((ProductRefused, InvalidValueError)):
        resolve_task_of_reset_arguments({"product": value})


def test_named_task_is_refused_with_a_product() -> None:
    product = build_product(TableShape(4))
    with pytest.raises(InvalidValueError, match="no named task with a product"):
        resolve_task_of_reset_arguments({"product": product, "task_id": "easy_single_spike"})


def test_splits_of_a_product_have_its_levels_and_families_and_seeds_of_their_own() -> None:
    product, other = build_product_without("easy"), build_product(TableShape(4))
    splits = build_product_splits(product)
    configs = [splits.task("test", index).config for index in range(len(splits.strata))]
    assert {config.difficulty for config in configs} == {"medium", "hard", "expert"}
    assert {config.anomaly_count for config in configs} == {0, 1, 2, 3, 4, 5}
    assert all(config.product is product for config in configs)
    task = resolve_task_of_reset_arguments({"product": product, "split": "test", "index": 3})
    assert task.task_id == "test-3"
    assert task.config == configs[3]
    assert build_product_splits(other).task("test", 3).config.seed != configs[3].seed


def test_sealed_split_refuses_an_inline_product() -> None:
    mapping = build_product(TableShape(4)).to_mapping()
    with pytest.raises(InvalidValueError, match="the name of a product on a sealed split"):
        resolve_task_of_reset_arguments({"product": mapping, "split": SEALED_SPLIT, "index": 0})


def test_family_that_always_meets_a_guard_band_is_not_plannable() -> None:
    product = build_product(TableShape(3, volume=60.0))
    level = replace(product.levels["hard"], families=(RATE_DROP, FUNNEL_BREAK))
    changed = replace(product, levels=product.levels | {"hard": level})
    assert list_plannable_families(changed, "hard") == (RATE_DROP,)


def test_family_without_room_is_given_up_after_a_limited_number_of_days(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    product = build_product(TableShape(3, volume=60.0))
    level = replace(product.levels["hard"], families=(FUNNEL_BREAK,))
    changed = replace(product, levels=product.levels | {"hard": level})
    tried_days: list[int] = []

    def plan_nothing(stream: BitStream, families: list[str], day: CleanDay) -> None:
        tried_days.append(day.day)

    monkeypatch.setattr(generate, "plan_anomalies_of_day", plan_nothing)
    with pytest.raises(GenerationError, match="Use another seed"):
        generate.generate_episode(EpisodeConfig(1, FUNNEL_BREAK, "hard", "low", 5, product=changed))
    assert len(tried_days) == generate.MAX_UNPLANNED_DAYS


def test_text_form_of_a_product_contains_no_numbers_of_the_table() -> None:
    product = build_product(TableShape(4))
    assert repr(product) == f"Product({product.name!r}, digest {product.digest[:12]})"
    assert "levels" not in str(EpisodeConfig(1, product=product))
