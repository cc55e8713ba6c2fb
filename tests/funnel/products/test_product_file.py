"""Product files: parsing, refusals, writing and the digest."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.products.product_file import (
    ProductRefused,
    format_product,
    parse_product,
    parse_product_text,
    read_product,
    write_product,
)
from openenv_kit.own_data.stage_counts import Grain
from support.products import build_level_mapping, build_product_mapping

Mapping = dict[str, Any]
STAGE_NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight")


def build_certified_mapping() -> Mapping:
    return build_product_mapping() | {"level": build_level_mapping()}


@pytest.mark.parametrize("grain", Grain)
@pytest.mark.parametrize("stage_count", range(2, 9))
def test_formatted_product_parses_to_the_same_product(stage_count: int, grain: Grain) -> None:
    mapping = build_product_mapping(stages=STAGE_NAMES[:stage_count], grain=grain)
    product = parse_product(mapping | {"level": build_level_mapping()})
    text = format_product(product)
    assert parse_product_text(text) == product
    assert format_product(parse_product_text(text)) == text
    assert parse_product(product.to_mapping()) == product


def test_largest_product_fits_into_the_size_limit(tmp_path: Path) -> None:
    stages = tuple(f"{number}" * 40 for number in range(8))
    mapping = build_product_mapping(stages=stages, days=1100, rate_level=0.123456)
    product = parse_product(mapping | {"level": build_level_mapping()})
    assert len(format_product(product)) < 16_000


def test_inline_number_with_more_digits_gives_the_digest_of_the_file() -> None:
    mapping = build_product_mapping(rate_level=0.6123456789)
    product = parse_product(mapping)
    assert product.series[1].levels[0] == 0.612346
    assert parse_product_text(format_product(product)).digest == product.digest


def test_written_product_is_read_back_and_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text("old")
    product = parse_product(build_certified_mapping())
    write_product(product, path)
    assert read_product(path) == product
    assert [file.name for file in tmp_path.iterdir()] == ["shop.toml"]


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shop.toml"
    path.write_text("old")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_product(parse_product(build_product_mapping()), path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["shop.toml"]


def test_digest_ignores_certified_and_reason_only() -> None:
    product = parse_product(build_certified_mapping())

    def digest_after(change: Callable[[Mapping], None]) -> str:
        mapping = build_certified_mapping()
        change(mapping)
        return parse_product(mapping).digest

    assert digest_after(lambda content: content["level"]["easy"].update(certified=3)) == (
        product.digest
    )
    assert digest_after(lambda content: content["level"]["easy"].update(reason="no room")) == (
        product.digest
    )
    changes: list[Callable[[Mapping], None]] = [
        lambda content: content["level"]["easy"].update(on=False),
        lambda content: content["level"]["easy"]["families"].pop(),
        lambda content: content["series"][0]["levels"].__setitem__(0, 5000.1),
        lambda content: content["series"][2].update(lag1=0.31),
        lambda content: content["thresholds"].update(carts=0.26),
        lambda content: content.update(name="store"),
        lambda content: content.update(impossible_counts="day"),
    ]
    digests = {digest_after(change) for change in changes}
    assert len(digests) == len(changes)
    assert product.digest not in digests


def test_names_and_thresholds_follow_from_the_stages() -> None:
    product = parse_product(build_product_mapping())
    assert product.column_names == (
        *("visits", "carts", "orders", "payments"),
        *("visits_to_carts", "carts_to_orders", "orders_to_payments"),
        *("visits_to_orders", "visits_to_payments"),
        "visits:daytime_share",
    )
    assert product.thresholds_by_column["visits"] == 0.2
    assert product.thresholds_by_column["visits_to_orders"] == 0.25
    assert list(product.thresholds_by_column) == list(product.column_names)
    assert product.funnel_step_names[0] == "carts_from_visits"
    assert product.quality_check_names[-1] == "payments_lte_orders"


@pytest.mark.parametrize(
    ("stage_count", "ends"), [(2, ()), (3, (2,)), (4, (2, 3)), (5, (3, 4)), (8, (6, 7))]
)
def test_composites_end_at_the_last_stages(stage_count: int, ends: tuple[int, ...]) -> None:
    product = parse_product(build_product_mapping(stages=STAGE_NAMES[:stage_count]))
    assert product.composite_ends == ends


def test_closed_weekdays_are_those_with_a_factor_of_zero() -> None:
    mapping = build_product_mapping()
    for series in mapping["series"]:
        series["weekday"] = [1.0] * 5 + [0.0, 0.0]
    assert parse_product(mapping).closed_weekdays == (5, 6)


def test_daily_product_has_no_daytime_share() -> None:
    product = parse_product(build_product_mapping(grain=Grain.DAY))
    assert not product.is_hourly
    assert product.daytime_share_name is None
    assert product.daytime_share_series is None
    assert "visits:daytime_share" not in product.column_names


def set_value(*path_and_value: Any) -> Callable[[Mapping], None]:
    """Return a change that sets the value at a path of keys and places."""
    *path, last, value = path_and_value

    def change(content: Any) -> None:
        for key in path:
            content = content[key]
        content[last] = value

    return change


def delete_value(*path: Any) -> Callable[[Mapping], None]:
    *parents, last = path

    def change(content: Any) -> None:
        for key in parents:
            content = content[key]
        del content[last]

    return change


REFUSALS: dict[str, tuple[Callable[[Mapping], None], str]] = {
    "unknown key": (set_value("grian", "hour"), "'grian'. Did you mean 'grain'"),
    "unknown series key": (set_value("series", 1, "level", 1), "series[1] 'level'. Did you mean"),
    "unknown set_aside key": (set_value("set_aside", "holiday", 1), "Did you mean 'holidays'"),
    "missing key": (delete_value("noise"), "noise is missing"),
    "missing series key": (delete_value("series", 0, "lag1"), "series[0].lag1 is missing"),
    "format missing": (delete_value("format"), "format is missing"),
    "older format": (set_value("format", 0), "import the table again"),
    "newer format": (set_value("format", 2), "update this package"),
    "format of a wrong type": (set_value("format", True), "format is True"),
    "other environment": (set_value("environment", "drilldown"), "'drilldown'"),
    "name with a slash": (set_value("name", "../shop"), "name is '../shop'"),
    "long name": (set_value("name", "a" * 41), "1 to 40"),
    "grain": (set_value("grain", "hours"), "Did you mean 'hour'"),
    "one stage": (set_value("stages", ["visits"]), "stages has 1 values; allowed: 2 to 8"),
    "nine stages": (set_value("stages", ["a"] * 9), "stages has 9 values"),
    "stages of a wrong type": (set_value("stages", "visits"), "stages is 'visits'"),
    "empty stage": (set_value("stages", 1, ""), "stages[1] is ''"),
    "stage twice": (set_value("stages", 1, "visits"), "the name 'visits'"),
    "stage with the name of a rate": (set_value("stages", 3, "visits_to_carts"), "visits_to_carts"),
    "few days": (set_value("days", 83), "days is 83; allowed: an integer from 84 to 1100"),
    "many days": (set_value("days", 1101), "days is 1101"),
    "boolean as a number": (set_value("days", True), "days is True"),
    "negative holidays": (set_value("set_aside", "holidays", -1), "set_aside.holidays is -1"),
    "impossible_counts": (set_value("impossible_counts", "week"), "impossible_counts 'week'"),
    "empty daytime": (set_value("daytime", [8, 8]), "daytime[1] is 8"),
    "late daytime": (set_value("daytime", [8, 25]), "daytime[1] is 25"),
    "23 hour weights": (delete_value("hour_weights", 0), "hour_weights has 23 values"),
    "sum of hour weights": (set_value("hour_weights", 0, 0.2), "hour_weights add up to 1.19"),
    "negative weight": (set_value("hour_weights", 3, -0.1), "hour_weights[3] is -0.1"),
    "few series": (delete_value("series", 4), "series has 4 values; allowed: 5"),
    "series in another order": (set_value("series", 1, "name", "carts_to_orders"), "series[1]"),
    "few levels": (delete_value("series", 0, "levels", 0), "series[0].levels has 3 values"),
    "level of zero": (set_value("series", 0, "levels", 0, 0.0), "series[0].levels[0] is 0.0"),
    "rate above one": (set_value("series", 1, "levels", 0, 1.1), "series[1].levels[0] is 1.1"),
    "NaN": (set_value("series", 0, "lag1", math.nan), "series[0].lag1 is nan"),
    "infinity": (set_value("series", 0, "levels", 1, math.inf), "series[0].levels[1] is inf"),
    "boolean as a fraction": (set_value("series", 0, "threshold", True), "threshold is True"),
    "text as a number": (set_value("series", 0, "lag1", "0.1"), "series[0].lag1 is '0.1'"),
    "weekday factors": (set_value("series", 0, "weekday", [1.0] * 6), "weekday has 6 values"),
    "always closed": (set_value("series", 0, "weekday", [0.0] * 7), "0 on every weekday"),
    "closed in one series": (set_value("series", 1, "weekday", 6, 0.0), "0 on other weekdays"),
    "residual below −1": (set_value("series", 0, "residual", 0, -1.1), "residual[0] is -1.1"),
    "residual order": (set_value("series", 0, "residual", 0, 0.5), "ascending"),
    "lag1": (set_value("series", 0, "lag1", 1.0), "series[0].lag1 is 1.0"),
    "low threshold": (set_value("series", 0, "threshold", 0.01), "series[0].threshold is 0.01"),
    "share threshold": (set_value("series", 4, "threshold", 1.5), "series[4].threshold is 1.5"),
    "factor rows": (delete_value("noise", "factor", 0), "noise.factor has 4 values"),
    "factor row length": (set_value("noise", "factor", 1, [1.0]), "noise.factor[1] has 1 values"),
    "factor squares": (set_value("noise", "factor", 0, [0.9]), "noise.factor[0] add up to 0.81"),
    "threshold missing": (delete_value("thresholds", "carts"), "thresholds.carts is missing"),
    "threshold unknown": (set_value("thresholds", "cart", 0.2), "Did you mean 'carts'"),
    "level missing": (delete_value("level", "hard"), "level.hard is missing"),
    "level unknown": (set_value("level", "hardest", {}), "'hardest'"),
    "on": (set_value("level", "easy", "on", 1), "level.easy.on is 1"),
    "family": (set_value("level", "easy", "families", ["break"]), "level.easy.families[0]"),
    "family twice": (set_value("level", "easy", "families", ["funnel_break"] * 2), "twice"),
    "certified": (set_value("level", "easy", "certified", 101), "level.easy.certified is 101"),
    "long reason": (set_value("level", "easy", "reason", "a" * 201), "level.easy.reason"),
    "reason of two lines": (set_value("level", "easy", "reason", "a\nb"), "level.easy.reason"),
    "too large": (set_value("name", "a" * 16_000), "the limit of 16 kB"),
    "not JSON": (set_value("name", object()), "a value that JSON cannot contain"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_wrong_value_is_refused_by_name(case: str) -> None:
    change, message = REFUSALS[case]
    mapping = build_certified_mapping()
    parse_product(mapping)
    change(mapping)
    with pytest.raises(ProductRefused) as refusal:
        parse_product(mapping)
    assert message in str(refusal.value)


def test_daily_product_with_hours_is_refused() -> None:
    mapping = build_product_mapping(grain=Grain.DAY)
    with pytest.raises(ProductRefused, match="daytime is not allowed"):
        parse_product(mapping | {"daytime": [8, 20]})
    with pytest.raises(ProductRefused, match="impossible_counts 'hour'"):
        parse_product(mapping | {"impossible_counts": "hour"})


@pytest.mark.parametrize("content", [None, [], "format = 1"])
def test_product_that_is_no_mapping_is_refused(content: Any) -> None:
    with pytest.raises(ProductRefused, match="a table of keys and values"):
        parse_product(content)


def test_text_that_is_not_toml_is_refused() -> None:
    with pytest.raises(ProductRefused, match="not TOML"):
        parse_product_text("format = ")


def test_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    with pytest.raises(ProductRefused, match=r"shop\.toml cannot be read"):
        read_product(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ProductRefused, match="not UTF-8"):
        read_product(path)
    path.write_text("#" * 16_001)
    with pytest.raises(ProductRefused, match="the limit of 16 kB"):
        read_product(path)
