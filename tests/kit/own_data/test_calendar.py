"""Public holidays and the user's own calendar."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from kit.own_data.tables import funnel_counts, load, wide_lines, write_lines
from openenv_kit.own_data.calendar import get_holidays_version, list_public_holidays, read_calendar
from openenv_kit.own_data.cleaned_table import CalendarEntry, TableRefused

YEAR = (date(2024, 1, 1), date(2024, 12, 31))


def test_holidays_of_a_country_are_listed_by_date() -> None:
    holidays = list_public_holidays("US", *YEAR)
    assert len(holidays) == 11
    assert holidays[date(2024, 7, 4)] == "Independence Day"
    assert list(holidays) == sorted(holidays)


def test_holidays_outside_the_days_are_left_out() -> None:
    assert list_public_holidays("US", date(2024, 7, 5), date(2024, 8, 31)) == {}


def test_holidays_of_a_subdivision_include_its_own() -> None:
    bavarian = list_public_holidays("DE-BY", *YEAR)
    assert bavarian[date(2024, 1, 6)] == "Epiphany"
    assert date(2024, 1, 6) not in list_public_holidays("DE", *YEAR)


def test_unknown_country_is_refused() -> None:
    with pytest.raises(TableRefused) as refusal:
        list_public_holidays("ZZ", *YEAR)
    assert str(refusal.value) == (
        "--country ZZ: no holidays are known for this code; allowed: ISO country codes, such "
        "as US, DE or GB."
    )


def test_unknown_subdivision_names_those_of_the_country() -> None:
    with pytest.raises(TableRefused, match=r"^--country DE-XX: DE has no subdivision XX; .* BB, "):
        list_public_holidays("DE-XX", *YEAR)


def test_version_of_the_holidays_is_pinned() -> None:
    assert get_holidays_version() == "0.109"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.csv"


def test_calendar_is_read_in_order_of_dates(path: Path) -> None:
    write_lines(
        path,
        [
            "date,title,explains",
            '2024-03-02,"Sale,  spring",visits; orders',
            "2024-01-05,Outage,",
        ],
    )
    assert read_calendar(path) == (
        CalendarEntry(date(2024, 1, 5), "Outage"),
        CalendarEntry(date(2024, 3, 2), "Sale, spring", ("visits", "orders")),
    )


def test_calendar_without_explains_and_with_semicolons_is_read(path: Path) -> None:
    write_lines(path, ["date;title", "2024-01-05;Outage, long"])
    assert read_calendar(path) == (CalendarEntry(date(2024, 1, 5), "Outage, long"),)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["day,title", "2024-01-05,x"],
            "line 1 has no column date; the columns date and title are required, explains is "
            "optional.",
        ),
        (["date,title", "5.1.2024,x"], "line 2: '5.1.2024' is not a date such as 2024-12-31."),
        (["date,title", "2024-01-05,"], "line 2: the title is empty."),
        (
            ["date,title", "2024-01-05,x,y"],
            "line 2: the number of fields differs from the header's.",
        ),
        (["date,title", "2024-01-05"], "line 2: the number of fields differs from the header's."),
    ],
)
def test_wrong_calendar_is_refused(lines: list[str], message: str, path: Path) -> None:
    with pytest.raises(TableRefused) as refusal:
        read_calendar(write_lines(path, lines))
    assert str(refusal.value) == f"--calendar events.csv: {message}"


def test_missing_calendar_is_refused(path: Path) -> None:
    with pytest.raises(TableRefused, match=r"^--calendar events.csv: No such file or directory\.$"):
        read_calendar(path)


def test_calendar_in_another_encoding_is_refused(path: Path) -> None:
    path.write_bytes("date,title\n2024-01-05,Störung\n".encode("latin-1"))
    with pytest.raises(TableRefused, match=r"^--calendar events.csv: not UTF-8; save it as UTF-8"):
        read_calendar(path)


def test_table_has_holidays_and_its_calendar_within_its_days(tmp_path: Path, path: Path) -> None:
    write_lines(path, ["date,title", "2024-01-15,Sale", "2024-01-05,Outage", "2025-01-05,Later"])
    table = load(
        write_lines(tmp_path / "shop.csv", wide_lines(funnel_counts())),
        calendar=path,
        country="US",
    )
    assert table.stage_counts.holidays == {
        date(2024, 1, 1): "New Year's Day",
        date(2024, 1, 5): "Outage",
        date(2024, 1, 15): "Sale",
        date(2024, 2, 19): "Washington's Birthday",
    }
    assert [entry.title for entry in table.calendar] == ["Outage", "Sale"]
