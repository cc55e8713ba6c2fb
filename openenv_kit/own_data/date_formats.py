"""Recognised date formats, as regular expressions that work in both Python and DuckDB."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FIRST_YEAR, LAST_YEAR = 1970, 2100
"""Range of accepted years. Other years are typing errors or placeholders; accepting them would
create grids with thousands of empty days."""

_TIME = (
    r"(?:[ ,]+(?:at )?|T)(?P<H>\d{1,2})(?::(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,]\d+)?)?)?"
    r"(?: ?(?P<p>[AaPp])\.?[Mm]\.?)?"
)
_OFFSET = r" ?(?P<z>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)"
_WEEKDAY = r"(?:[A-Za-z]{3,9},? )?"
_DATES = {
    "2013-12-31": r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})",
    "20131231": r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
    "31/12/2013": r"(?P<d>\d{1,2})[-/.](?P<m>\d{1,2})[-/.](?P<y>\d{4})",
    "December 31, 2013": _WEEKDAY
    + r"(?P<b>[A-Za-z]{3,9})\.? (?P<d>\d{1,2})(?:st|nd|rd|th)?,? (?P<y>\d{4})",
    "31 December 2013": _WEEKDAY
    + r"(?P<d>\d{1,2})(?:st|nd|rd|th)?[ .-]+(?P<b>[A-Za-z]{3,9})\.?,?[ -](?P<y>\d{4})",
    "2013-Dec-31": r"(?P<y>\d{4})[- ](?P<b>[A-Za-z]{3,9})[- ](?P<d>\d{1,2})",
}
_WITHOUT_DAY = re.compile(
    r"\d{4}[-/.]\d{1,2}|[A-Za-z]{3,9}\.?,? \d{4}|(?:Q[1-4]|W(?:eek )?\d{1,2})[ ,-]+\d{4}"
    r"|\d{4}[ -]+(?:Q[1-4]|W\d{1,2})|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
)
_DIRECTIVES = {
    "Y": r"(?P<y>\d{4})",
    "y": r"(?P<c>\d{2})",
    "m": r"(?P<m>\d{1,2})",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<H>\d{1,2})",
    "M": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d{1,2})",
    "f": r"\d{1,9}",
    "p": r"(?P<p>[AaPp])[Mm]",
    "b": r"(?P<b>[A-Za-z]{3,9})\.?",
    "B": r"(?P<b>[A-Za-z]{3,9})",
    "z": r"(?P<z>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)",
    "%": "%",
}
_FIELDS = {
    "y": "year",
    "c": "short_year",
    "m": "month",
    "d": "day",
    "b": "month_name",
    "H": "hour",
    "M": "minute",
    "S": "second",
    "p": "half_day",
    "z": "utc_offset",
    "u": "unix",
}
"""Group names for DuckDB, where names that differ only in case, such as m and M, are equal."""
DAY_FIRST = "31/12/2013"
MONTH_FIRST = "12/31/2013"


@dataclass(frozen=True)
class DateFormat:
    """A date format.

    Attributes:
        name: an example date in this format, or the value of `--date-format`.
        pattern: regular expression for both Python and DuckDB. Its groups are named after the
            directives of `strptime`, with `u` for Unix time.
        is_utc: whether the user has declared that times without an offset are in UTC.
    """

    name: str
    pattern: str
    is_utc: bool = False

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups in order."""
        return tuple(re.compile(self.pattern).groupindex)

    @property
    def has_time(self) -> bool:
        """Whether the format has an hour."""
        return "H" in self.groups or "u" in self.groups

    @property
    def is_absolute(self) -> bool:
        """Whether the times are Unix times, have a UTC offset, or are declared to be in UTC."""
        return self.is_utc or "z" in self.groups or "u" in self.groups

    def matches(self, text: str) -> bool:
        """Return whether a text has this format, even if the date does not exist."""
        return re.fullmatch(self.pattern, text, re.ASCII) is not None

    def swap_day_and_month(self) -> DateFormat:
        """Return the format with day and month swapped."""
        swapped = self.pattern.replace("?P<d>", "?P<D>").replace("?P<m>", "?P<d>")
        return DateFormat(
            self.name.replace(DAY_FIRST, MONTH_FIRST), swapped.replace("?P<D>", "?P<m>")
        )


class FormatVariant(NamedTuple):
    """Text that can follow a date, such as a time.

    Attributes:
        example: example of the text.
        pattern: regular expression of the text.
    """

    example: str
    pattern: str


def list_date_formats() -> tuple[DateFormat, ...]:
    """Return the recognised formats. A text matches at most one of them.

    Dates such as 03/04/2013 match the format that starts with the day.
    """
    variants = (
        FormatVariant("", ""),
        FormatVariant(" 23:00", _TIME),
        FormatVariant(" 23:00+00:00", _TIME + _OFFSET),
    )
    formats = [
        DateFormat(name + variant.example, pattern + variant.pattern)
        for name, pattern in _DATES.items()
        for variant in variants
    ]
    hour_of_day = r"(?P<y>20\d{2})(?P<m>\d{2})(?P<d>\d{2})(?P<H>\d{2})"
    formats.append(DateFormat("2013123123", hour_of_day))
    formats.append(DateFormat("Unix time", r"(?P<u>1\d{9}(?:\d{3}){0,2})(?:\.\d+)?"))
    return tuple(formats)


DATE_FORMATS = list_date_formats()


def parse_date_directives(date_format: str) -> DateFormat:
    """Return the date format for a valid value of `--date-format`."""
    parts = re.split(r"%(.)", date_format)
    pattern = "".join(
        _DIRECTIVES[part] if number % 2 else re.escape(part) for number, part in enumerate(parts)
    )
    return DateFormat(date_format, pattern)


def find_date_format(text: str) -> DateFormat | None:
    """Return the recognised format that a text matches; None if it matches none."""
    return next((known for known in DATE_FORMATS if known.matches(text)), None)


def has_no_day(text: str) -> bool:
    """Return whether a text names only a month, quarter, week or weekday."""
    return _WITHOUT_DAY.fullmatch(text) is not None


def build_moment_sql(date_format: DateFormat, column: str) -> str:
    """Return the SQL expression that parses a text column to a timestamp; null if it is invalid.

    If the format `is_absolute`, the timestamps are in UTC, otherwise in the table's local time.
    """
    names = ", ".join(quote_text(_FIELDS[name]) for name in date_format.groups)
    parts = f"regexp_extract({column}, {quote_text(f'^(?:{date_format.pattern})$')}, [{names}])"
    groups = date_format.groups
    if "u" in groups:
        unix = f"{parts}.unix"
        scale = f"(CASE length({unix}) WHEN 10 THEN 1000000 WHEN 13 THEN 1000 ELSE 1 END)"
        return f"TRY(make_timestamp(TRY_CAST({unix} AS BIGINT) * {scale}))"

    def number(group: str) -> str:
        return f"TRY_CAST({parts}.{_FIELDS[group]} AS BIGINT)" if group in groups else "0"

    year = number("y") if "y" in groups else f"2000 + {number('c')}"
    month = number("m")
    if "b" in groups:
        month = f"list_position({list(MONTHS)!r}, lower(left({parts}.month_name, 3)))"
    hour, minute, second = (f"coalesce({number(group)}, 0)" for group in "HMS")
    if "p" in groups:
        # 12 AM is 0 and 12 PM is 12.
        afternoon = f"(CASE lower({parts}.half_day) WHEN 'p' THEN 12 ELSE 0 END)"
        hour = (
            f"(CASE WHEN {parts}.half_day = '' THEN {hour} WHEN {hour} BETWEEN 1 AND 12 "
            f"THEN {hour} % 12 + {afternoon} END)"
        )
    moment = (
        f"TRY(make_timestamp({year}, {month}, {number('d')}, {hour}, {minute}, "
        f"CAST({second} AS DOUBLE)))"
    )
    if "z" in groups:
        digits = f"regexp_replace({parts}.utc_offset, '[^0-9]', '', 'g')"
        minutes = (
            f"(coalesce(TRY_CAST(left({digits}, 2) AS BIGINT), 0) * 60 "
            f"+ coalesce(TRY_CAST(substr({digits}, 3, 2) AS BIGINT), 0)) "
            f"* (CASE WHEN starts_with({parts}.utc_offset, '-') THEN -1 ELSE 1 END)"
        )
        moment = f"({moment} - to_minutes({minutes}))"
    return moment


def quote_text(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
