"""Infers the thousands and decimal separators of counts from how the numbers are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from openenv_kit.own_data.date_formats import quote_text
from openenv_kit.own_data.options import DECIMAL_MARKS, THOUSANDS_MARKS

MISSING_TEXTS = ("null", "nan", "none", "n/a", "na", "nil", "-", "(not set)")
"""Texts, in lower case, that are treated like an empty cell."""
MAX_COUNT = 10**12
"""Largest count. Larger numbers are identifiers or errors, and sums must stay whole numbers."""

_AMBIGUOUS = re.compile(r"9{1,3}[.,]9{3}")


class NumberForm(NamedTuple):
    """A number format found in the table.

    Attributes:
        shape: the text with 9 for each digit.
        has_zero_fraction: whether the text ends in a mark followed by zeros only.
        first_row: number of the first row with this format, from 1.
        example: the number in that row.
        metric: index of the stage of that number.
    """

    shape: str
    has_zero_fraction: bool
    first_row: int
    example: str = ""
    metric: int = 0


class NumberReading(NamedTuple):
    """The marks with which numbers are parsed.

    Attributes:
        thousands: mark between groups of three digits; empty if there is none.
        decimal: decimal mark; empty if there is none.
    """

    thousands: str
    decimal: str


class NumberKind(StrEnum):
    """Result of parsing a number with given marks."""

    WHOLE = "whole"
    FRACTION = "fraction"
    NEGATIVE = "negative"
    TEXT = "text"


class NumberProblem(StrEnum):
    """Reason why the numbers of a table cannot be used."""

    AMBIGUOUS = "ambiguous"
    NOT_COUNTS = "not counts"


@dataclass(frozen=True)
class NumberDecision:
    """The marks of a table's numbers, or the reason why the numbers cannot be used.

    Attributes:
        reading: the marks; if there is a problem, those with which the fewest formats fail.
        problem: why the numbers cannot be used; None if they can.
        form: a number format that shows the problem.
        has_alternative: whether other marks were possible but gave numbers that are not whole.
    """

    reading: NumberReading
    problem: NumberProblem | None = None
    form: NumberForm | None = None
    has_alternative: bool = False


def classify_number(form: NumberForm, reading: NumberReading) -> NumberKind:
    """Return the kind of number that results from parsing a format with the marks of `reading`."""
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
    """Choose the marks with which the numbers of a table are parsed.

    Args:
        forms: all number formats in the count columns.
        thousands: value of `--thousands`; None to detect the mark.
        decimal: value of `--decimal`; None to detect the mark.
    """
    readings = _list_readings(forms, thousands, decimal)
    possible = [reading for reading in readings if _can_parse_all(forms, reading)]
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
        return NumberDecision(
            whole[0], NumberProblem.AMBIGUOUS, _find_first_form(ambiguous or forms)
        )
    if whole:
        return NumberDecision(whole[0], has_alternative=len(possible) > 1)

    def count_faults(reading: NumberReading) -> int:
        return sum(classify_number(form, reading) is not NumberKind.WHOLE for form in forms)

    nearest = min(possible or readings, key=count_faults)
    faulty = [form for form in forms if classify_number(form, nearest) is not NumberKind.WHOLE]
    # If no format fails, then some numbers above 999 have a thousands mark and others have none.
    return NumberDecision(nearest, NumberProblem.NOT_COUNTS, _find_first_form(faulty or forms))


def _find_first_form(forms: Sequence[NumberForm]) -> NumberForm:
    return min(forms, key=lambda form: form.first_row)


def build_trimmed_sql(column: str) -> str:
    """Return the SQL expression for a trimmed cell; null if the cell is empty.

    Typographic spaces and apostrophes are replaced with plain ones.
    """
    text = f"trim(translate({column}, '’\u00a0\u202f', '''  '))"
    missing = ", ".join(quote_text(missing) for missing in ("", *MISSING_TEXTS))
    return f"(CASE WHEN lower({text}) NOT IN ({missing}) THEN {text} END)"


def build_count_sql(reading: NumberReading, column: str) -> str:
    """Return the SQL expression for the count in a cell; null if the cell is empty."""
    text = build_trimmed_sql(column)
    if reading.decimal:
        text = f"split_part({text}, {quote_text(reading.decimal)}, 1)"
    if reading.thousands:
        text = f"replace({text}, {quote_text(reading.thousands)}, '')"
    return f"TRY_CAST({text} AS BIGINT)"


def _list_readings(
    forms: Sequence[NumberForm], thousands: str | None, decimal: str | None
) -> list[NumberReading]:
    """Return all combinations of the marks that occur in the numbers or were named by the user."""
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


def _can_parse_all(forms: Sequence[NumberForm], reading: NumberReading) -> bool:
    """Return whether all numbers can be parsed, and all or none of them have thousands marks."""
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
