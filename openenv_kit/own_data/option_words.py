"""Converts the options for reading a table to command-line words, for commands that are printed."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from pathlib import Path

from openenv_kit.own_data.options import SEPARATORS, ImportOptions

UNPRINTED_FIELDS = ("table", "name", "out", "force", "max_parquet_rows")
"""Fields that do not affect how a table is read."""
OPTIONS_BY_FIELD = {"sum_rows": "--sum", "from_date": "--from", "until_date": "--until"}
"""Options whose name is not that of their field."""


def list_command_words(options: ImportOptions) -> tuple[str, ...]:
    """Return the table's file, if there is one, and options that differ from their defaults.

    An option is returned as words such as `--country` and `US`. Files are named without their
    folders, because paths can be confidential. The words must be quoted before they are used in a
    shell.
    """
    words = [] if options.table is None else [options.table.name]
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in UNPRINTED_FIELDS or value == field.default:
            continue
        option = OPTIONS_BY_FIELD.get(field.name, f"--{field.name.replace('_', '-')}")
        if value is True:
            words.append(option)
        elif field.name == "stages":
            words += [option, ",".join(options.stages)]
        elif isinstance(value, tuple):
            for pair in value:
                words += [option, "=".join(pair)]
        else:
            words += [option, _format_value(field.name, value)]
    return tuple(words)


def _format_value(name: str, value: object) -> str:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, date):
        return value.isoformat()
    if name == "separator":
        return next(word for word, character in SEPARATORS.items() if character == value)
    return str(value)
