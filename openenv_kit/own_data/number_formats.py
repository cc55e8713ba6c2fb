"""Finds out which marks the counts of a table use, from the forms of all its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from openenv_kit.own_data.date_formats import quote_text
from openenv_kit.own_data.options import DECIMAL_MARKS, THOUSANDS_MARKS

MISSING_TEXTS = ("null", "nan", "none", "n/a", "na", "nil", "-", "(not set)")
"""Texts, in lower case, that mean an empty cell."""
MAX_COUNT = 10**12
"""Largest count. Larger numbers are identifiers or errors, and sums must stay whole numbers."""

_AMBIGUOUS = re.compile(r"9{1,3}[.,]9{3}")


class NumberForm(NamedTuple):
    """A number format found in the table.

    Attributes:
        shape: the text with 9 for each digit.
        has_zero_fraction: whether the text ends in a mark followed by zeros only.
        first_row: number of the first row with this form.
        example: the number in that row.
        metric: number of the stage that it counts.
    """

    shape: str
    has_zero_fraction: bool
    first_row: int
    example: str = ""
    metric: int = 0


class NumberReading(NamedTuple):
    """How marks in numbers are read.

    Attributes:
        thousands: mark between groups of digits; empty for none.
        decimal: decimal mark; empty for none.
    """

    thousands: str
    decimal: str


class NumberKind(StrEnum):
    """What a number is in a reading."""

    WHOLE = "whole"
    FRACTION = "fraction"
    NEGATIVE = "negative"
    TEXT = "text"


class NumberProblem(StrEnum):
    """Why no reading can be chosen."""

    AMBIGUOUS = "ambiguous"
    NOT_COUNTS = "not counts"


@dataclass(frozen=True)
class NumberDecision:
    """The reading of a table's numbers, or why there is none.

    Attributes:
        reading: the reading; the nearest one if there is a problem.
        problem: why the numbers cannot be used; None if they can.
        form: the form that shows the problem.
        has_alternative: whether another reading was possible but gives no whole numbers.
    """

    reading: NumberReading
    problem: NumberProblem | None = None
    form: NumberForm | None = None
    has_alternative: bool = False


def classify_number(form: NumberForm, reading: NumberReading) -> NumberKind:
    """Return what numbers of a form are in a reading."""
    shape = form.shape.removeprefix("+")
    is_negative = shape.startswith(("-", "−")) or (shape.startswith("(") and shape.endswith(")"))
    shape = shape.strip("-−()")
    integer, mark, fraction = shape, "", ""
    if reading.decimal:
        integer, mark, fraction = shape.partition(reading.decimal)
    is_grouped = bool(reading.thousands) and reading.thousands in integer
    if is_grouped:
        digits = re.escape(reading.thousands)
        is_number = re.fullmatch(rf"9{{1,3}}(?:{digits}9{{3}})+", integer) is not None
    else:
        is_number = re.fullmatch("9+", integer) is not None
    if not is_number or (mark and not re.fullmatch("9+", fraction)):
        return NumberKind.TEXT
    if is_negative:
        return NumberKind.NEGATIVE
    return NumberKind.FRACTION if mark and not form.has_zero_fraction else NumberKind.WHOLE


def choose_reading(
    forms: Sequence[NumberForm], *, thousands: str | None, decimal: str | None
) -> NumberDecision:
    """Choose how to read the numbers of a table.

    Args:
        forms: every form of a number in the count columns.
        thousands: the mark between groups that the user named.
        decimal: the decimal mark that the user named.
    """
    readings = _list_readings(forms, thousands, decimal)
    possible = [reading for reading in readings if _fits(forms, reading)]
    whole = [
        reading
        for reading in possible
        if all(classify_number(form, reading) is NumberKind.WHOLE for form in forms)
    ]
    is_given = thousands is not None or decimal is not None
    is_ambiguous_in_every_row = all(_AMBIGUOUS.fullmatch(form.shape) for form in forms)
    is_open = len(whole) > 1 or (is_ambiguous_in_every_row and len(possible) > 1)
    if whole and not is_given and is_open:
        ambiguous = [form for form in forms if _AMBIGUOUS.fullmatch(form.shape)]
        return NumberDecision(whole[0], NumberProblem.AMBIGUOUS, _first(ambiguous or forms))
    if whole:
        return NumberDecision(whole[0], has_alternative=len(possible) > 1)

    def count_faults(reading: NumberReading) -> int:
        return sum(classify_number(form, reading) is not NumberKind.WHOLE for form in forms)

    nearest = min(possible or readings, key=count_faults)
    faulty = [form for form in forms if classify_number(form, nearest) is not NumberKind.WHOLE]
    # Without a faulty form, each number is whole, but some thousands are marked and others not.
    return NumberDecision(nearest, NumberProblem.NOT_COUNTS, _first(faulty or forms))


def _first(forms: Sequence[NumberForm]) -> NumberForm:
    return min(forms, key=lambda form: form.first_row)


def trimmed_sql(column: str) -> str:
    """Return the SQL expression for a cell with plain spaces and apostrophes; null if empty."""
    text = f"trim(translate({column}, '’\u00a0\u202f', '''  '))"
    missing = ", ".join(quote_text(missing) for missing in ("", *MISSING_TEXTS))
    return f"(CASE WHEN lower({text}) NOT IN ({missing}) THEN {text} END)"


def count_sql(reading: NumberReading, column: str) -> str:
    """Return the SQL expression for the count in a cell; null if it is empty."""
    text = trimmed_sql(column)
    if reading.decimal:
        text = f"split_part({text}, {quote_text(reading.decimal)}, 1)"
    if reading.thousands:
        text = f"replace({text}, {quote_text(reading.thousands)}, '')"
    return f"TRY_CAST({text} AS BIGINT)"


def _list_readings(
    forms: Sequence[NumberForm], thousands: str | None, decimal: str | None
) -> list[NumberReading]:
    """Return the readings to try: those whose marks occur, or the marks that the user named."""
    characters = set("".join(form.shape for form in forms))
    groups = [mark for mark in ("", *THOUSANDS_MARKS) if not mark or mark in characters]
    points = [mark for mark in ("", *DECIMAL_MARKS) if not mark or mark in characters]
    if thousands is not None:
        groups = [thousands]
    if decimal is not None:
        points = [decimal]
    return [
        NumberReading(group, point)
        for group in groups
        for point in points
        if not group or group != point
    ]


def _fits(forms: Sequence[NumberForm], reading: NumberReading) -> bool:
    """Return whether each number can be read, and thousands are marked in all or in none."""
    kinds = [classify_number(form, reading) for form in forms]
    if any(kind is NumberKind.TEXT for kind in kinds):
        return False
    if not reading.thousands:
        return True
    integers = [
        form.shape.partition(reading.decimal)[0] if reading.decimal else form.shape
        for form in forms
    ]
    has_marked = any(reading.thousands in integer for integer in integers)
    has_unmarked = any(re.search("9{4}", integer) for integer in integers)
    return not (has_marked and has_unmarked)
