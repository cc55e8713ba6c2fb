"""Parses the table options that a debugger visitor has typed in command-line syntax."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import typer

from openenv_kit.cli.table_options import with_table_options
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.options import ImportOptions

OTHER_FILE_OPTIONS = ("sql", "database", "calendar")
"""Options that read other files than the table."""


def parse_option_text(text: str, table: Path, max_parquet_rows: int) -> ImportOptions:
    """Return the options of an uploaded table.

    Args:
        text: options in command-line syntax, such as `--stages visits,orders --country US`.
        table: uploaded file.
        max_parquet_rows: largest number of rows of a Parquet file.

    Raises:
        ConfigurationError: an option is unknown, has an invalid value, or refers to a file.
    """
    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise ConfigurationError(f"The options are wrong: {problem}.") from None
    received: list[ImportOptions] = []

    def keep_options(options: ImportOptions) -> None:
        received.append(options)

    app = typer.Typer(add_completion=False)
    app.command(add_help_option=False)(with_table_options(keep_options))
    try:
        typer.main.get_command(app).main([*words, "--", str(table)], standalone_mode=False)
    except Exception as problem:
        # Typer's usage errors are classes of a private module, but they share this method.
        if not hasattr(problem, "format_message"):
            raise
        message = problem.format_message().rstrip(".")
        raise ConfigurationError(f"The options are wrong: {message}.") from None
    for name in OTHER_FILE_OPTIONS:
        if getattr(received[0], name) is not None:
            raise ConfigurationError(
                f"--{name} reads another file than the table, so it is not allowed here; use "
                "`metric-tracker import`."
            )
    return replace(received[0], table=table, max_parquet_rows=max_parquet_rows)
