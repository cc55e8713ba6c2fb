"""The HTML report of an import: contents, escaping, size, and no external request."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest

from metric_tracker_rl.own_metrics.import_table import ImportedProduct
from metric_tracker_rl.own_metrics.report import MAX_REPORT_BYTES, build_report_html
from metric_tracker_rl.products.fit import fit_product, fit_table
from metric_tracker_rl.products.twin_check import compare_with_twin_tables
from openenv_kit.own_data.cleaned_table import CleanedTable, TableDescription
from openenv_kit.own_data.stage_counts import Grain, StageCounts
from openenv_kit.own_data.support import ImportRequest
from support.small_products import build_small_product, simulate_small_table
from support.stage_tables import Simulation, simulate_table

REQUEST = ImportRequest(
    product_name="shop",
    product_file_name="shop.toml",
    table_words=("my shop.csv", "--country", "US"),
    report_file_name="shop.html",
)
DAY_OF_DROP = 150
SECRET_COUNT = 7_654_321


def simulate_table_with_drop() -> StageCounts:
    """Return the small table with half of the counts on one day."""
    table = simulate_small_table()
    counts = table.counts.copy()
    counts[DAY_OF_DROP] = np.rint(counts[DAY_OF_DROP] * 0.5)
    return replace(table, counts=counts)


def build_report(table: StageCounts, request: ImportRequest = REQUEST, **fields: object) -> str:
    """Return the report of a table with the product of the small table."""
    description = TableDescription(format="CSV", shape="wide, one row an hour")
    cleaned = CleanedTable(stage_counts=table, actions=(), warnings=(), description=description)
    product = build_small_product()
    imported = ImportedProduct(product, fit_table(table), compare_with_twin_tables(table, product))
    return build_report_html(replace(cleaned, **fields), imported, request)  # type: ignore[arg-type]


@cache
def build_report_of_drop() -> str:
    return build_report(simulate_table_with_drop())


@cache
def build_report_of_aggregates() -> str:
    return build_report(simulate_table_with_drop(), replace(REQUEST, has_daily_values=False))


class LinkParser(HTMLParser):
    """Collects every attribute that could make a browser load something, and unclosed tags."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [name for name, _ in attrs if name in ("src", "href", "srcset", "data")]


def test_report_starts_with_the_warning_about_real_numbers() -> None:
    first_line = build_report_of_drop().split("\n", 1)[0]
    assert "contains real numbers" in first_line
    body = build_report_of_drop().split("<body>", 1)[1]
    assert body.split("</p>", 1)[0].count("This report contains real numbers of your table") == 1


def test_report_loads_nothing() -> None:
    parser = LinkParser()
    parser.feed(build_report_of_drop())
    assert parser.links == []
    assert "script" not in parser.tags
    assert parser.tags.count("svg") == len(build_small_product().series)
    assert "http://" not in build_report_of_drop()
    assert "https://" not in build_report_of_drop()


def test_report_lists_the_unusual_day_and_its_row() -> None:
    date = simulate_small_table().get_date(DAY_OF_DROP).isoformat()
    unusual, past = build_report_of_drop().split("Past rows at these thresholds")
    assert date in unusual.split("Unusual days")[1]
    assert f"<td>{date}</td><td>visits</td><td>absolute_drop_in_event_count</td>" in past


@pytest.mark.parametrize(
    "text",
    [
        "196 days from 2024-01-01",
        "<td>mean of the first count on a weekday</td><td>Monday</td>",
        "<td>visits_to_carts</td>",
        "uv run metric-tracker investigate &#39;my shop.csv&#39; --country US --product shop.toml",
        "uv run inference.py --product shop.toml --level medium",
        "uv run metric-tracker drift &#39;my shop.csv&#39; --country US --product shop.toml",
    ],
)
def test_report_contains(text: str) -> None:
    assert text in build_report_of_drop()


def test_report_of_aggregates_has_no_date_chart_or_daily_value() -> None:
    html = build_report_of_aggregates()
    assert "aggregates of the real numbers" in html.split("\n", 1)[0]
    assert "<svg" not in html
    assert re.findall(r"20\d\d-\d\d-\d\d", html) == []
    assert "windows of four weeks" in html


def test_single_value_is_in_the_report_but_not_in_its_aggregates() -> None:
    table = simulate_small_table()
    counts = table.counts.copy()
    counts[DAY_OF_DROP, 12, 0] += SECRET_COUNT
    secret = f"{counts[DAY_OF_DROP, :, 0].sum():,}"
    with_secret = replace(table, counts=counts)
    assert secret in build_report(with_secret)
    aggregates = build_report(with_secret, replace(REQUEST, has_daily_values=False))
    assert secret not in aggregates
    assert secret.replace(",", "") not in aggregates


@pytest.mark.parametrize("field", ["actions", "warnings"])
def test_texts_of_the_table_are_escaped(field: str) -> None:
    html = build_report(simulate_small_table(), **{field: ("<script>alert(1)</script>",)})
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_names_of_holidays_are_escaped_in_charts() -> None:
    table = simulate_small_table()
    table = replace(table, holidays={table.get_date(3): '"><script>alert(1)</script>'})
    html = build_report(table)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_report_of_the_longest_table_is_below_its_limit() -> None:
    stages = tuple(f"a_stage_with_a_long_name_{number}" for number in range(8))
    simulation = Simulation(
        stages=stages, rates=(0.9,) * 7, days=1_100, grain=Grain.HOUR, first_level=1e6
    )
    table = simulate_table(simulation)
    product = fit_product(table, "long")
    levels = build_small_product().levels
    description = TableDescription(format="CSV", shape="wide, one row an hour")
    html = build_report_html(
        CleanedTable(stage_counts=table, actions=(), warnings=(), description=description),
        ImportedProduct(
            replace(product, levels=levels),
            fit_table(table),
            compare_with_twin_tables(table, product),
        ),
        REQUEST,
    )
    assert 100_000 < len(html.encode()) <= MAX_REPORT_BYTES
