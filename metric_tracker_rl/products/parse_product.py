"""Parses the content of a product file. Error messages contain the path of the invalid value."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from metric_tracker_rl.engine.definitions.anomaly_types import ANOMALY_TYPES
from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY, HourRange
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.products.field_reader import (
    FieldReader,
    ProductRefused,
    build_refusal,
    require_choice,
    require_integer,
    require_numbers,
    require_slug,
)
from metric_tracker_rl.products.product import (
    DAYS_PER_WEEK,
    ENVIRONMENT_NAME,
    PRODUCT_FORMAT,
    RESIDUAL_SCORES,
    Product,
    ProductLevel,
    ProductSeries,
    SetAside,
    count_blocks,
    list_composite_rate_names,
    list_entity_names,
    list_fitted_series_names,
    round_to_significant_digits,
)
from openenv_kit.errors import truncated_repr
from openenv_kit.own_data.stage_counts import Grain

MAX_PRODUCT_BYTES = 16_000
"""Largest size of a product file."""
MIN_STAGES, MAX_STAGES = 2, 8
MIN_DAYS, MAX_DAYS = 84, 1_100
MIN_RELATIVE_THRESHOLD = 0.05
"""Smallest threshold of counts and rates."""
MIN_SHARE_THRESHOLD = 0.02
"""Smallest threshold of the daytime share."""
MAX_THRESHOLD = 1_000.0
MIN_LEVEL = 1e-9
"""Smallest level of a series. A level of 0 would leave deviations undefined."""
MAX_COUNT_LEVEL = 1e12
MAX_WEEKDAY_FACTOR = 100.0
MAX_RESIDUAL = 1_000.0
MAX_LAG1 = 0.99
MAX_SUM_ERROR = 1e-3
"""Largest deviation from 1 of the sum of the hour weights and of the squares of a noise row."""
MAX_REASON_CHARACTERS = 200
MAX_CERTIFIED = 100

PRODUCT_KEYS = (
    "format",
    "environment",
    "name",
    "grain",
    "stages",
    "days",
    "set_aside",
    "impossible_counts",
    "daytime",
    "hour_weights",
    "series",
    "noise",
    "thresholds",
    "level",
)


def parse_product(content: Mapping[str, Any]) -> Product:
    """Convert a mapping that has the structure of a product file to a product.

    Numbers are rounded to six significant digits, as in a product file. A product that is passed
    to a reset as a mapping therefore has the same digest as the product in the file.

    Raises:
        ProductRefused: the mapping is too large or has an invalid value.
    """
    _require_format(content)
    reader = FieldReader(content, "", PRODUCT_KEYS)
    serialize_within_size_limit(content)
    reader.read_choice("environment", (ENVIRONMENT_NAME,))
    grain = Grain(reader.read_choice("grain", tuple(Grain)))
    stages = _read_stages(reader, grain)
    days = reader.read_integer("days", MIN_DAYS, MAX_DAYS)
    impossible_grains = (Grain.HOUR, Grain.DAY) if grain == Grain.HOUR else (Grain.DAY,)
    series = _read_all_series(reader, list_fitted_series_names(stages, grain), count_blocks(days))
    return Product(
        name=require_slug("name", reader.read_value("name")),
        grain=grain,
        stages=stages,
        days=days,
        set_aside=_read_set_aside(reader, days),
        impossible_counts=Grain(reader.read_choice("impossible_counts", impossible_grains)),
        daytime=_read_daytime(reader, grain),
        hour_weights=_read_hour_weights(reader, grain),
        series=series,
        noise_factor=_read_noise_factor(reader, len(series)),
        other_thresholds=_read_other_thresholds(reader, stages),
        levels=_read_levels(reader),
    )


def require_product_size(size_bytes: int) -> None:
    """Raise `ProductRefused` if the size of a product's text exceeds `MAX_PRODUCT_BYTES`."""
    if size_bytes > MAX_PRODUCT_BYTES:
        raise ProductRefused(
            f"The product is larger than the limit of {MAX_PRODUCT_BYTES // 1000} kB."
        )


def serialize_within_size_limit(content: Mapping[str, Any]) -> str:
    """Convert the mapping of a product to JSON text.

    Raises:
        ProductRefused: the text is larger than `MAX_PRODUCT_BYTES`, or a value is not allowed in
            JSON.
    """
    try:
        text = json.dumps(content, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise ProductRefused("The product has a value that JSON cannot contain.") from None
    require_product_size(len(text.encode(errors="surrogatepass")))
    return text


def _require_format(content: object) -> None:
    """Raise `ProductRefused` if this version does not support the format number of the content.

    This is checked before the other keys, because their names depend on the format.
    """
    if not isinstance(content, Mapping):
        raise build_refusal("The product", content, "a table of keys and values")
    if "format" not in content:
        raise ProductRefused("format is missing.")
    number = content["format"]
    if type(number) is not int or number < 0:
        raise build_refusal("format", number, f"{PRODUCT_FORMAT}")
    if number < PRODUCT_FORMAT:
        raise ProductRefused(
            f"format is {number}, but this version reads {PRODUCT_FORMAT}: import the table again."
        )
    if number > PRODUCT_FORMAT:
        raise ProductRefused(
            f"format is {truncated_repr(number)}, but this version reads {PRODUCT_FORMAT}: "
            "update this package, or import the table again."
        )


def _read_stages(reader: FieldReader, grain: Grain) -> tuple[str, ...]:
    names = reader.read_list("stages", MIN_STAGES, MAX_STAGES)
    stages = tuple(require_slug(f"stages[{place}]", name) for place, name in enumerate(names))
    entity_names = list_entity_names(stages, grain)
    for name in entity_names:
        if entity_names.count(name) > 1:
            raise ProductRefused(
                f"Two series or pairs of these stages have the name {name!r}; rename a stage."
            )
    return stages


def _read_set_aside(reader: FieldReader, days: int) -> SetAside:
    fields = FieldReader(
        reader.read_value("set_aside"), "set_aside", ("holidays", "unusual", "missing")
    )
    return SetAside(
        holidays=fields.read_integer("holidays", 0, days),
        unusual=fields.read_integer("unusual", 0, days),
        missing=fields.read_integer("missing", 0, days),
    )


def _read_daytime(reader: FieldReader, grain: Grain) -> HourRange | None:
    if grain == Grain.DAY:
        _require_absent(reader, "daytime")
        return None
    first, stop = reader.read_list("daytime", 2, 2)
    start = require_integer("daytime[0]", first, 0, HOURS_PER_DAY - 1)
    return HourRange(start, require_integer("daytime[1]", stop, start + 1, HOURS_PER_DAY))


def _read_hour_weights(reader: FieldReader, grain: Grain) -> tuple[float, ...]:
    if grain == Grain.DAY:
        _require_absent(reader, "hour_weights")
        return ()
    weights = _round_all(reader.read_numbers("hour_weights", HOURS_PER_DAY, 0.0, 1.0))
    total = math.fsum(weights)
    if abs(total - 1.0) > MAX_SUM_ERROR:
        raise ProductRefused(f"hour_weights add up to {total:.6g}; allowed: 1.")
    return weights


def _require_absent(reader: FieldReader, key: str) -> None:
    if reader.has_key(key):
        raise ProductRefused(f"{key} is not allowed, because grain is 'day'.")


def _read_all_series(
    reader: FieldReader, names: tuple[str, ...], block_count: int
) -> tuple[ProductSeries, ...]:
    tables = reader.read_list("series", len(names), len(names))
    all_series = tuple(
        _parse_series(table, f"series[{place}]", names, place, block_count)
        for place, table in enumerate(tables)
    )
    closed = [factor == 0.0 for factor in all_series[0].weekday]
    if all(closed):
        raise ProductRefused("series[0].weekday is 0 on every weekday.")
    for place, series in enumerate(all_series):
        if [factor == 0.0 for factor in series.weekday] != closed:
            raise ProductRefused(
                f"series[{place}].weekday is 0 on other weekdays than series[0].weekday."
            )
    return all_series


def _parse_series(
    table: object, path: str, names: tuple[str, ...], place: int, block_count: int
) -> ProductSeries:
    keys = ("name", "levels", "weekday", "residual", "lag1", "threshold")
    fields = FieldReader(table, path, keys)
    name = require_choice(f"{path}.name", fields.read_value("name"), (names[place],))
    is_count = place == 0
    is_share = ":" in name
    residual = _round_all(fields.read_numbers("residual", len(RESIDUAL_SCORES), -1.0, MAX_RESIDUAL))
    if any(above < below for below, above in pairwise(residual)):
        raise ProductRefused(f"{path}.residual is not in ascending order.")
    max_level = MAX_COUNT_LEVEL if is_count else 1.0
    min_threshold = MIN_SHARE_THRESHOLD if is_share else MIN_RELATIVE_THRESHOLD
    max_threshold = 1.0 if is_share else MAX_THRESHOLD
    levels = fields.read_numbers("levels", block_count, MIN_LEVEL, max_level)
    weekday = fields.read_numbers("weekday", DAYS_PER_WEEK, 0.0, MAX_WEEKDAY_FACTOR)
    threshold = fields.read_number("threshold", min_threshold, max_threshold)
    return ProductSeries(
        name=name,
        levels=_round_all(levels),
        weekday=_round_all(weekday),
        residual=residual,
        lag1=round_to_significant_digits(fields.read_number("lag1", -MAX_LAG1, MAX_LAG1)),
        threshold=round_to_significant_digits(threshold),
    )


def _read_noise_factor(reader: FieldReader, size: int) -> tuple[tuple[float, ...], ...]:
    fields = FieldReader(reader.read_value("noise"), "noise", ("factor",))
    rows = fields.read_list("factor", size, size)
    factor = []
    for place, row in enumerate(rows):
        path = f"noise.factor[{place}]"
        numbers = _round_all(require_numbers(path, row, place + 1, -1.0, 1.0))
        squares = math.fsum(number * number for number in numbers)
        if abs(squares - 1.0) > MAX_SUM_ERROR:
            raise ProductRefused(f"The squares of {path} add up to {squares:.6g}; allowed: 1.")
        factor.append(numbers)
    return tuple(factor)


def _read_other_thresholds(reader: FieldReader, stages: tuple[str, ...]) -> dict[str, float]:
    names = (*stages[1:], *list_composite_rate_names(stages))
    fields = FieldReader(reader.read_value("thresholds"), "thresholds", names)
    return {
        name: round_to_significant_digits(
            fields.read_number(name, MIN_RELATIVE_THRESHOLD, MAX_THRESHOLD)
        )
        for name in names
    }


def _read_levels(reader: FieldReader) -> dict[str, ProductLevel]:
    """Return the availability of each difficulty level, by the level's name.

    The mapping is empty if the product has no `level` table because it is not certified yet.
    """
    if not reader.has_key("level"):
        return {}
    tables = FieldReader(reader.read_value("level"), "level", tuple(LEVELS))
    return {name: _parse_level(tables.read_value(name), f"level.{name}") for name in LEVELS}


def _parse_level(table: object, path: str) -> ProductLevel:
    fields = FieldReader(table, path, ("on", "families", "certified", "reason"))
    names = [
        require_choice(f"{path}.families[{place}]", name, tuple(ANOMALY_TYPES))
        for place, name in enumerate(fields.read_list("families", 0, len(ANOMALY_TYPES)))
    ]
    # The generator draws families by position, so their order in the file must not matter.
    families = tuple(name for name in ANOMALY_TYPES if name in names)
    if len(families) < len(names):
        raise ProductRefused(f"{path}.families names a family twice.")
    return ProductLevel(
        is_on=fields.read_boolean("on"),
        families=families,
        certified=fields.read_integer("certified", 0, MAX_CERTIFIED),
        reason=fields.read_text("reason", MAX_REASON_CHARACTERS),
    )


def _round_all(numbers: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round_to_significant_digits(number) for number in numbers)
