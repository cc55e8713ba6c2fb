"""Room: the formulas of each family, just inside and just outside their limits."""

from __future__ import annotations

from typing import Any

import pytest

from metric_tracker_rl.engine.definitions.anomaly_types import (
    ANOMALY_TYPES,
    COUNT_DROP,
    COUNT_SPIKE,
    FUNNEL_BREAK,
    MIX_SHIFT,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from metric_tracker_rl.products.product_file import parse_product
from metric_tracker_rl.products.room import (
    SeriesRoom,
    explain_missing_families,
    list_possible_families,
    list_possible_families_by_level,
    list_series_room,
)
from openenv_kit.own_data.stage_counts import Grain
from support.products import build_product_mapping

STAGES = ("a", "b", "c", "d")


def build_mapping(
    rates: tuple[float, ...] = (0.5, 0.5, 0.5),
    share: float = 0.6,
    grain: Grain = Grain.HOUR,
    **thresholds: float,
) -> dict[str, Any]:
    """Return a product of stages a, b, c … with thresholds of 0.1 unless given."""
    stages = STAGES[: len(rates) + 1]
    mapping = build_product_mapping(stages=stages, grain=grain)
    values = [5000.0, *rates, share]
    for series, value in zip(mapping["series"], values, strict=False):
        series["levels"] = [value] * 4
        series["threshold"] = thresholds.get(series["name"], 0.1)
    mapping["thresholds"] = {name: thresholds.get(name, 0.1) for name in mapping["thresholds"]}
    return mapping


def find_room(mapping: dict[str, Any], family: str, series: str) -> SeriesRoom:
    rooms = list_series_room(parse_product(mapping), 1.0)
    (found,) = [room for room in rooms if (room.family, room.series) == (family, series)]
    assert found.has_room == (not found.reason)
    return found


@pytest.mark.parametrize(("threshold", "has_room"), [(0.803, True), (0.804, False)])
def test_traffic_can_fall_by_less_than_ninety_percent(threshold: float, has_room: bool) -> None:
    assert find_room(build_mapping(a=threshold), COUNT_DROP, "a").has_room == has_room


def test_traffic_can_always_rise() -> None:
    assert find_room(build_mapping(a=5.0), COUNT_SPIKE, "a").has_room


@pytest.mark.parametrize(("threshold", "has_room"), [(0.66, True), (0.67, False)])
def test_rate_drop_has_to_stay_below_a_break(threshold: float, has_room: bool) -> None:
    # The break threshold is 0.85; 0.88 · 0.85 = 0.748 = 1.12 · 0.6679
    assert find_room(build_mapping(a_to_b=threshold), RATE_DROP, "a_to_b").has_room == has_room


@pytest.mark.parametrize(("threshold", "has_room"), [(0.53, True), (0.5302, False)])
def test_break_has_to_stay_below_ninety_five_percent(threshold: float, has_room: bool) -> None:
    # 1.12 · 1.6 · 0.5302 = 0.95
    mapping = build_mapping(a_to_b=threshold)
    assert find_room(mapping, FUNNEL_BREAK, "b_from_a").has_room == has_room


@pytest.mark.parametrize(("threshold", "has_room"), [(0.2, True), (0.201, False)])
def test_rate_can_rise_to_ninety_eight_percent(threshold: float, has_room: bool) -> None:
    # 0.8 · (1 + 1.12 · 0.2) = 0.9792, and with 0.201: 0.9801
    mapping = build_mapping(rates=(0.8, 0.5, 0.5), a_to_b=threshold)
    room = find_room(mapping, RATE_SPIKE, "a_to_b")
    assert room.has_room == has_room


@pytest.mark.parametrize("name", ["b", "a_to_b", "b_to_c"])
@pytest.mark.parametrize(("threshold", "has_room"), [(0.345, True), (0.346, False)])
def test_stage_can_lose_what_does_not_reach_the_next_one(
    name: str, threshold: float, has_room: bool
) -> None:
    # 1 − 0.6 / 0.98 = 0.3878 = 1.12 · 0.3462, rounded up to 0.346 on a level
    mapping = build_mapping(rates=(0.5, 0.601, 0.5), **{name: threshold})
    assert find_room(mapping, COUNT_DROP, "b").has_room == has_room


@pytest.mark.parametrize(
    ("name", "threshold", "has_room"),
    [
        # 0.98 / 0.7 − 1 = 0.4 = 1.12 · 0.357
        ("b", 0.357, True),
        ("b", 0.358, False),
        ("a_to_b", 0.357, True),
        ("a_to_b", 0.358, False),
        # The rate out of the stage falls by 0.4 / 1.4 = 0.2857 = 1.12 · 0.2551.
        ("b_to_c", 0.255, True),
        ("b_to_c", 0.256, False),
    ],
)
def test_stage_can_gain_up_to_the_previous_one(name: str, threshold: float, has_room: bool) -> None:
    mapping = build_mapping(rates=(0.7, 0.5, 0.5), **{name: threshold})
    assert find_room(mapping, COUNT_SPIKE, "b").has_room == has_room


def test_last_stage_cannot_lose_events_alone() -> None:
    rooms = list_series_room(parse_product(build_mapping()), 1.0)
    assert [room.series for room in rooms if room.family == COUNT_DROP] == ["a", "b", "c"]


@pytest.mark.parametrize(("threshold", "has_room"), [(0.14, True), (0.1405, False)])
def test_leak_of_two_steps_has_to_reach_the_composite(threshold: float, has_room: bool) -> None:
    # 1 − (1 − 0.82 · 0.1)² = 0.157276 = 1.12 · 0.14042
    room = find_room(build_mapping(a_to_c=threshold), RATE_DROP, "a_to_c")
    assert room.is_leak
    assert room.has_room == has_room


def test_longer_leak_must_not_flag_the_shorter_composite() -> None:
    # Three steps lose 1 − 0.918³ = 0.2264 = 1.12 · 0.2021 together.
    mapping = build_mapping(a_to_c=0.2, a_to_d=0.202)
    assert find_room(mapping, RATE_DROP, "a_to_d").has_room
    # With a_to_c below 0.88 · 0.1, they lose 1 − 0.912 · 0.918 = 0.1628 = 1.12 · 0.1453.
    assert find_room(build_mapping(a_to_c=0.1, a_to_d=0.145), RATE_DROP, "a_to_d").has_room
    assert not find_room(build_mapping(a_to_c=0.1, a_to_d=0.147), RATE_DROP, "a_to_d").has_room


def test_gain_needs_rates_that_can_rise() -> None:
    assert find_room(build_mapping(), RATE_SPIKE, "a_to_c").has_room
    room = find_room(build_mapping(rates=(0.5, 0.97, 0.5)), RATE_SPIKE, "a_to_c")
    assert not room.has_room
    assert "b_to_c is 97 %" in room.reason


@pytest.mark.parametrize(
    ("share", "threshold", "has_room"),
    [
        (0.6, 0.499, True),
        (0.6, 0.501, False),
        (0.99, 0.8, True),
        (0.3, 0.4, True),
        (0.5, 0.42, False),
    ],
)
def test_daytime_share_can_shift_in_one_direction(
    share: float, threshold: float, has_room: bool
) -> None:
    mapping = build_mapping(share=share, **{"a:daytime_share": threshold})
    assert find_room(mapping, MIX_SHIFT, "a:daytime_share").has_room == has_room


def test_daily_product_has_no_mix_shift() -> None:
    product = parse_product(build_mapping(grain=Grain.DAY))
    families = list_possible_families(product, 1.0)
    assert MIX_SHIFT not in families
    (room,) = [each for each in list_series_room(product, 1.0) if each.family == MIX_SHIFT]
    assert room.reason == "the table has no hours"


def test_two_stages_have_neither_leaks_nor_inner_stages() -> None:
    rooms = list_series_room(parse_product(build_mapping(rates=(0.5,))), 1.0)
    assert {room.family for room in rooms} == set(ANOMALY_TYPES)
    assert not any(room.is_leak for room in rooms)
    assert {room.series for room in rooms if room.family in (COUNT_DROP, COUNT_SPIKE)} == {"a"}


def test_usual_product_has_room_for_every_family() -> None:
    product = parse_product(build_mapping())
    assert list_possible_families(product, 1.0) == tuple(ANOMALY_TYPES)
    assert explain_missing_families(product, 1.0) == ""


def test_easier_level_has_less_room() -> None:
    product = parse_product(build_mapping(rates=(0.8,), a_to_b=0.18))
    by_level = list_possible_families_by_level(product)
    assert RATE_SPIKE in by_level["hard"]  # 0.8 · (1 + 1.12 · 0.18) = 0.961
    assert RATE_SPIKE not in by_level["easy"]  # 0.8 · (1 + 1.12 · 0.234) = 1.01


def test_product_that_cannot_move_gives_the_reason() -> None:
    mapping = build_mapping(rates=(0.5,), grain=Grain.DAY, a=2.0, b=2.0, a_to_b=2.0)
    mapping["series"][0]["levels"] = [29.0] * 4
    product = parse_product(mapping)
    assert list_possible_families(product, 1.0) == (COUNT_SPIKE, QUALITY_ISSUE)
    (room,) = [each for each in list_series_room(product, 1.0) if each.family == COUNT_DROP]
    assert (
        room.reason
        == "with 29 events a day, a series would have to fall by 224 %; allowed: less than 90 %"
    )
