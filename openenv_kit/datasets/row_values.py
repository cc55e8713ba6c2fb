"""Converts the values of dataset rows to Python values.

pandas and datasets write NaN or None for a missing value, and turn a column of integers with a
missing value into floats. NumPy, pandas and pyarrow have their own scalar types.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from openenv_kit.errors import InvalidValueError

PANDAS_MISSING_TYPE_NAMES = ("NAType", "NaTType")
"""Names of pandas types for missing values, which cannot be compared or used as booleans."""
MAX_EXACT_FLOAT = 2**53
"""Limit below which a float represents every integer exactly."""


def convert_to_python_value(value: Any) -> Any:
    """Convert a value of a row to a plain Python value; return None for a missing value.

    Items of lists and objects are converted recursively.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return "".join(value)  # converts subclasses, such as NumPy's, to a plain str
    if isinstance(value, int):
        return int(value)
    if hasattr(value, "as_py"):  # pyarrow
        return convert_to_python_value(value.as_py())
    if type(value).__name__ in PANDAS_MISSING_TYPE_NAMES:
        return None
    if isinstance(value, Mapping):
        return {str(name): convert_to_python_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [convert_to_python_value(item) for item in value]
    if isinstance(value, float):  # includes NumPy's float64
        return None if value != value else float(value)
    if hasattr(value, "tolist"):  # scalars of NumPy, pandas and PyTorch
        return convert_to_python_value(value.tolist())
    return value


def convert_whole_number_to_int(value: Any, column_name: str = "number") -> Any:
    """Convert a value of a row to a plain Python value, and a whole-number float to int.

    Args:
        value: the value.
        column_name: name of the column, for error messages.

    Raises:
        InvalidValueError: the float is so large that it may have been rounded.
    """
    number = convert_to_python_value(value)
    if not isinstance(number, float) or not number.is_integer():
        return number
    if abs(number) >= MAX_EXACT_FLOAT:
        raise InvalidValueError(
            column_name, number, "an integer; a float of this size may have been rounded"
        )
    return int(number)


def convert_row_to_mapping(row: Any) -> Mapping[str, Any]:
    """Convert a dataset row, such as a row of a pandas data frame, to a mapping; empty for None.

    Raises:
        InvalidValueError: the value is not a row.
    """
    if row is not None and not isinstance(row, Mapping) and hasattr(row, "to_dict"):
        row = row.to_dict()  # a row of a pandas data frame
    if row is None:
        return {}
    if not isinstance(row, Mapping):
        raise InvalidValueError("row", row, "an object with the columns of a dataset row, or None")
    return row


def parse_json_object_of_column(column_name: str, value: Any) -> Mapping[str, Any]:
    """Return the JSON object in a column, parsed from a string if needed; empty if missing.

    Args:
        column_name: name of the column, for error messages.
        value: value of the column.

    Raises:
        InvalidValueError: the value is not an object.
    """
    content = convert_to_python_value(value)
    if isinstance(content, str):
        try:
            content = json.loads(content) if content.strip() else None
        except ValueError:
            raise InvalidValueError(column_name, value, "an object, or its JSON") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InvalidValueError(column_name, value, "an object, or its JSON")
    return {key: convert_to_python_value(item) for key, item in content.items()}
