"""Reads the values of dataset rows, which data libraries write in forms of their own.

pandas and datasets fill a missing column with NaN or None, and turn a column of integers with a
gap into floats. numpy's, pandas' and pyarrow's scalars are not Python's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from openenv_kit.errors import InvalidValueError

PANDAS_MISSING_TYPE_NAMES = ("NAType", "NaTType")
"""Types of pandas' other missing values, whose truth or equality is undefined."""
MAX_EXACT_FLOAT = 2**53
"""From here on a float does not hold every integer."""


def to_python_value(value: Any) -> Any:
    """Return a value of a row as Python's own types; None where it is missing.

    Lists and objects are read with everything in them.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return "".join(value)  # of a subclass, such as numpy's, the plain text
    if isinstance(value, int):
        return int(value)
    if hasattr(value, "as_py"):  # pyarrow
        return to_python_value(value.as_py())
    if type(value).__name__ in PANDAS_MISSING_TYPE_NAMES:
        return None
    if isinstance(value, Mapping):
        return {str(name): to_python_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_python_value(item) for item in value]
    if isinstance(value, float):  # numpy's float64 is one
        return None if value != value else float(value)
    if hasattr(value, "tolist"):  # numpy, pandas and torch: a scalar becomes Python's
        return to_python_value(value.tolist())
    return value


def to_int_if_whole(value: Any, column_name: str = "number") -> Any:
    """Return a value of a row, with a float without a fraction as an integer.

    Args:
        value: what the row holds.
        column_name: of its column, for errors.

    Raises:
        InvalidValueError: the float is too large to say which integer it was.
    """
    number = to_python_value(value)
    if not isinstance(number, float) or not number.is_integer():
        return number
    if abs(number) >= MAX_EXACT_FLOAT:
        raise InvalidValueError(
            column_name, number, "an integer; a float of this size may have been rounded"
        )
    return int(number)


def require_row_mapping(row: Any) -> Mapping[str, Any]:
    """Return a dataset row as a mapping; empty where there is no row.

    Raises:
        InvalidValueError: it is not a row.
    """
    if row is not None and not isinstance(row, Mapping) and hasattr(row, "to_dict"):
        row = row.to_dict()  # a row of a pandas frame
    if row is None:
        return {}
    if not isinstance(row, Mapping):
        raise InvalidValueError("row", row, "an object with the columns of a dataset row, or None")
    return row


def parse_json_object(column_name: str, value: Any) -> Mapping[str, Any]:
    """Return the object in a column, which may be written as JSON text; empty where it is missing.

    Args:
        column_name: of the column, for errors.
        value: what it holds.

    Raises:
        InvalidValueError: it is not an object.
    """
    given = to_python_value(value)
    if isinstance(given, str):
        try:
            given = json.loads(given) if given.strip() else None
        except ValueError:
            raise InvalidValueError(column_name, value, "an object, or its JSON") from None
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidValueError(column_name, value, "an object, or its JSON")
    return {key: to_python_value(item) for key, item in given.items()}
