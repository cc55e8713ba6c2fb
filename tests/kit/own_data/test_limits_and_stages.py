"""Limits of a table, and the order and names of its stages."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from kit.own_data.tables import (
    COUNTS,
    LINES,
    START,
    case_lines,
    event_lines,
    funnel_counts,
    load,
    refusal_message,
    wide_lines,
    write_lines,
)
from openenv_kit.own_data.check_days import TableLimits
from openenv_kit.own_data.clean_table import load_table
from openenv_kit.own_data.options import ImportOptions, StageRename
from openenv_kit.own_data.stage_counts import Grain

# Limits


def test_fewer_than_84_days_are_refused(path: Path) -> None:
    message = refusal_message(write_lines(path, LINES[:84]))
    assert message == "The table has 83 days; at least 84 are required."
    assert load(write_lines(path, LINES[:85])).stage_counts.days == 84


def test_median_under_10_a_day_is_refused(path: Path) -> None:
    rows = [f"{line[:10]},9,5,2" for line in LINES[1:]]
    message = refusal_message(write_lines(path, [LINES[0], *rows]))
    assert message == "The median of visits is 9 a day; at least 10 are required."


@pytest.mark.parametrize("count", [1, 9])
def test_number_of_stages_outside_2_to_8_is_refused(count: int, path: Path) -> None:
    stages = [f"s{number}" for number in range(count)]
    lines = [",".join(["date", *stages])]
    lines += [
        ",".join([line[:10], *(str(90 - stage) for stage in range(count))]) for line in LINES[1:]
    ]
    assert refusal_message(write_lines(path, lines), stages=tuple(stages)) == (
        f"The table has {count} stages; allowed: 2 to 8. List them in funnel order with --stages."
    )


def test_limits_of_another_environment_are_used(path: Path) -> None:
    options = ImportOptions(table=write_lines(path, LINES[:31]))
    assert load_table(options, TableLimits(min_days=30)).stage_counts.days == 30


def test_level_shift_is_a_warning_with_a_date(path: Path) -> None:
    counts = COUNTS.copy()
    counts[56:] *= 2
    table = load(write_lines(path, wide_lines(counts)))
    assert table.warnings == tuple(
        f"the level of {stage} changes by more than 50% around 2024-02-26; consider --from "
        "2024-02-26"
        for stage in ("visits", "carts", "orders")
    )


def test_days_before_the_last_1100_are_left_out(path: Path) -> None:
    counts = funnel_counts(1_130)
    table = load(write_lines(path, wide_lines(counts)))
    assert np.array_equal(table.stage_counts.counts, counts[30:])
    assert len(table.stage_counts.day_status) == 1_100
    assert table.stage_counts.start == START + timedelta(days=30)
    assert table.actions == ("30 days before the last 1,100 left out",)


def test_table_over_2_gb_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv_kit.own_data.file_format.MAX_BYTES", 1_000)
    assert refusal_message(write_lines(path, LINES)) == (
        "The table has 0.0 GB; the limit is 0 GB; aggregate it with --sql, by day or hour."
    )


# Stages


def test_stage_names_become_slugs(path: Path) -> None:
    names = "date,Página vista,Add to cart!," + "Order " * 10
    table = load(write_lines(path, [names, *LINES[1:]]))
    assert table.stage_counts.stages == (
        "pagina_vista",
        "add_to_cart",
        "order_order_order_order_order_order_orde",
    )
    assert table.renamed_stages["add_to_cart"] == "Add to cart!"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("date,看,carts,orders", "The stage '看' has no letters or digits; pass --rename OLD=NEW."),
        (
            "date,Carts,carts,orders",
            "Two stages get the name carts; pass --rename OLD=NEW for one.",
        ),
        (
            "date,a,b,a_to_b",
            "The stage a_to_b has the name of the rate between two other stages; pass --rename "
            "OLD=NEW.",
        ),
    ],
)
def test_stage_names_that_are_empty_or_collide_are_refused(
    header: str, message: str, path: Path
) -> None:
    assert refusal_message(write_lines(path, [header, *LINES[1:]])) == message


def test_rename_gives_a_stage_another_name(path: Path) -> None:
    lines = ["date,看,carts,orders", *LINES[1:]]
    table = load(write_lines(path, lines), rename=(StageRename("看", "views"),))
    assert table.stage_counts.stages == ("views", "carts", "orders")


def test_rename_of_an_unknown_stage_is_refused(path: Path) -> None:
    message = refusal_message(write_lines(path, LINES), rename=(StageRename("visit", "views"),))
    assert message == "--rename visit: no stage has this name. Did you mean 'visits'?"


def test_stages_out_of_order_are_refused_without_the_option(path: Path) -> None:
    lines = [",".join([line[:10], *reversed(line.split(",")[1:])]) for line in LINES[1:]]
    write_lines(path, ["date,orders,carts,visits", *lines])
    assert refusal_message(path) == (
        "The order of the stages is unclear; pass them in funnel order, such as --stages "
        "visits,carts,orders."
    )
    table = load(path, stages=("visits", "carts", "orders"))
    assert np.array_equal(table.stage_counts.counts, COUNTS)


def test_unknown_stage_names_the_nearest_column(path: Path) -> None:
    assert refusal_message(write_lines(path, LINES), stages=("visits", "cart")) == (
        "--stages cart: no column has this name. Did you mean 'carts'? Columns: visits, carts, "
        "orders."
    )


def test_unknown_stage_of_an_event_log_names_the_nearest_event(path: Path) -> None:
    lines = event_lines(funnel_counts(84, hours=24, visits=4))
    assert refusal_message(write_lines(path, lines), stages=("visits", "cart")) == (
        "--stages cart: not in the column event. Did you mean 'carts'?"
    )


def test_stages_of_an_event_log_can_be_selected(path: Path) -> None:
    counts = funnel_counts(84, hours=24, visits=4)
    table = load(write_lines(path, event_lines(counts)), stages=("visits", "orders"))
    assert np.array_equal(table.stage_counts.counts, counts[:, :, [0, 2]])


def test_flag_above_1_in_a_row_per_case_is_not_a_case(path: Path) -> None:
    lines = case_lines(funnel_counts(84, hours=24, visits=4))
    lines[-1] = lines[-1][:-1] + "2"
    assert refusal_message(write_lines(path, lines)) == (
        f"line {len(lines)}: a count above 1 in orders; a table with one row per case has only 0 "
        "and 1."
    )


def test_daily_grain_of_a_log_with_dates_only(path: Path) -> None:
    table = load(write_lines(path, event_lines(funnel_counts(visits=12))))
    assert table.stage_counts.grain is Grain.DAY
    assert str(table.description) == "CSV, comma, UTF-8; event log, counted by day"
