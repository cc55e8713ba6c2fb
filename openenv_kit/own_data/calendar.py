"""Lists the public holidays of a country and reads the user's own calendar."""

from __future__ import annotations

import csv
import importlib.metadata
from datetime import date
from pathlib import Path

from openenv_kit.errors import truncated_repr
from openenv_kit.own_data.cleaned_table import CalendarEntry, TableRefused
from openenv_kit.own_data.locked_connection import build_missing_package_error

MAX_CALENDAR_BYTES = 1_000_000
MAX_TITLE_CHARACTERS = 200


def list_public_holidays(country: str, first: date, last: date) -> dict[date, str]:
    """Return the names of public holidays by date.

    Args:
        country: country code, optionally followed by a hyphen and a subdivision: `US` or `US-NY`.
        first: first day.
        last: last day (inclusive).

    Raises:
        ModuleNotFoundError: the package `holidays` is not installed. The message contains the
            install command.
        TableRefused: the country or the subdivision is unknown.
    """
    try:
        import holidays
    except ModuleNotFoundError as problem:
        raise build_missing_package_error(problem) from None
    code, _, subdivision = country.partition("-")
    supported = holidays.list_supported_countries(include_aliases=False)
    if code not in supported:
        raise TableRefused(
            f"--country {country}: no holidays are known for this code; allowed: ISO country "
            "codes, such as US, DE or GB."
        )
    if subdivision and subdivision not in supported[code]:
        allowed = ", ".join(sorted(supported[code])) or "none"
        raise TableRefused(
            f"--country {country}: {code} has no subdivision {subdivision}; allowed: {allowed}."
        )
    # Names are in English where possible, so that messages do not mix languages.
    language = holidays.list_localized_countries(include_aliases=False).get(code, [])
    days = holidays.country_holidays(
        code,
        subdiv=subdivision or None,
        years=range(first.year, last.year + 1),
        language="en_US" if "en_US" in language else None,
    )
    return {day: str(name) for day, name in sorted(days.items()) if first <= day <= last}


def get_holidays_version() -> str:
    """Return the version of the package `holidays`; its lists of days differ between versions.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    try:
        return importlib.metadata.version("holidays")
    except importlib.metadata.PackageNotFoundError:
        raise build_missing_package_error(ModuleNotFoundError(name="holidays")) from None


def read_calendar(path: Path) -> tuple[CalendarEntry, ...]:
    """Read a calendar from a CSV file and return its entries, sorted by date and title.

    The columns are `date`, `title` and, optionally, `explains`. Dates have the form 2024-12-31.
    `explains` lists the series whose deviations the event explains, separated by semicolons.

    Raises:
        TableRefused: the file cannot be read, or a line is invalid.
    """
    try:
        if path.stat().st_size > MAX_CALENDAR_BYTES:
            raise TableRefused(f"--calendar {path.name}: the file is larger than 1 MB.")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise TableRefused(f"--calendar {path.name}: not UTF-8; save it as UTF-8.") from None
    except OSError as problem:
        raise TableRefused(f"--calendar {path.name}: {problem.strerror}.") from None
    separator = (
        ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    )
    reader = csv.DictReader(text.splitlines(), delimiter=separator, strict=True)
    entries = []
    try:
        names = reader.fieldnames or ()
        for needed in ("date", "title"):
            if needed not in names:
                raise TableRefused(
                    f"--calendar {path.name}: line 1 has no column {needed}; the columns date and "
                    "title are required, explains is optional."
                )
        for row in reader:
            entries.append(_parse_entry(row, f"--calendar {path.name}: line {reader.line_num}"))
    except csv.Error as problem:
        raise TableRefused(
            f"--calendar {path.name}: line {reader.line_num} is not valid CSV ({problem})."
        ) from None
    return tuple(sorted(entries, key=lambda entry: (entry.date, entry.title)))


def _parse_entry(row: dict[str, str | None], place: str) -> CalendarEntry:
    # DictReader collects surplus cells under the key None.
    if None in row or row["title"] is None:
        raise TableRefused(f"{place}: the number of fields differs from the header's.")
    text = (row["date"] or "").strip()
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise TableRefused(
            f"{place}: {truncated_repr(text)} is not a date such as 2024-12-31."
        ) from None
    title = " ".join(row["title"].split())[:MAX_TITLE_CHARACTERS]
    if not title:
        raise TableRefused(f"{place}: the title is empty.")
    explained = (row.get("explains") or "").split(";")
    return CalendarEntry(day, title, tuple(name.strip() for name in explained if name.strip()))
