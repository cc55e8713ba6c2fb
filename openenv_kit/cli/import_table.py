"""`metric-tracker import`: makes a product from a user's table, from which tasks are generated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from openenv_kit.cli.common import EnvironmentOption, WorkersOption
from openenv_kit.cli.table_options import with_table_options
from openenv_kit.cli.table_output import (
    TableExitCode,
    is_person_present,
    print_lines,
    print_table_description,
    report_refusals,
)
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.cleaned_table import WHAT_FITS
from openenv_kit.own_data.option_words import list_command_words
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.product_argument import require_own_data
from openenv_kit.own_data.support import ImportRequest, ImportResult, SummaryLine
from openenv_kit.own_data.write_files import (
    PRIVATE_MODE,
    OutputFile,
    build_product_name,
    refuse_existing_files,
    refuse_overwriting_inputs,
    write_files,
)

PRODUCT_SUFFIX = ".toml"
REPORT_SUFFIX = ".html"

IMPORT_HELP = (
    f"{WHAT_FITS} Makes a product file and a report from a table.\n\n"
    "The product file contains only aggregates; the report contains your numbers.\n\n"
    "Exit codes: 0 done, 2 table or option rejected, 3 imported, but every level is off."
)


@with_table_options
def import_table(
    options: ImportOptions,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the product. Default: derived from the table's file name."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Product file to write. The report has the same name with .html."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write the files without asking.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only read and clean the table, and print the result.")
    ] = False,
    report_aggregates: Annotated[
        bool,
        typer.Option("--report-aggregates", help="Exclude daily values from the report."),
    ] = False,
    workers: WorkersOption = 0,
    environment: EnvironmentOption = None,
) -> None:
    """Make a product file and a report from a table; see `IMPORT_HELP`."""
    with report_refusals(first_line=WHAT_FITS):
        options = replace(options, name=name, out=out, force=force)
        own_data = require_own_data(get_environment(environment))
        product_path = _choose_product_path(options)
        report_path = product_path.with_suffix(REPORT_SUFFIX)
        refuse_overwriting_inputs((product_path, report_path), options.input_files)
        if not (force or check):
            refuse_existing_files((product_path, report_path))
        from openenv_kit.own_data.clean_table import load_table  # slow: imports pandas

        table = load_table(options)
        print_table_description(table)
        if check:
            return
        result = own_data.import_table(
            table,
            ImportRequest(
                product_name=_choose_product_name(options),
                product_file_name=product_path.name,
                report_file_name=report_path.name,
                table_words=list_command_words(options),
                worker_count=workers or os.cpu_count() or 1,
                has_daily_values=not report_aggregates,
                show_progress=_show_progress,
            ),
        )
        print_lines(result.summary)
        _confirm_unless_skipped(product_path, report_path, skip=yes)
        _write_product_and_report(result, product_path, report_path)
    contains = "aggregates" if report_aggregates else "your numbers"
    written = f"{product_path} (aggregates only), {report_path} (contains {contains})"
    print_lines([SummaryLine("Wrote", written)])
    raise typer.Exit(TableExitCode.DONE if result.has_level else TableExitCode.NEEDS_ATTENTION)


def _choose_product_path(options: ImportOptions) -> Path:
    path = options.out or Path(_choose_product_name(options) + PRODUCT_SUFFIX)
    if path.suffix != PRODUCT_SUFFIX:
        raise ConfigurationError(f"--out is {path.name!r}; allowed: a name that ends with .toml.")
    return path


def _choose_product_name(options: ImportOptions) -> str:
    return options.name or build_product_name(_get_source(options))


def _get_source(options: ImportOptions) -> Path:
    source = options.table or options.database
    if source is None:
        raise ConfigurationError("No table was given; allowed: a file, or --sql with --database.")
    return source


def _confirm_unless_skipped(product_path: Path, report_path: Path, *, skip: bool) -> None:
    """Ask for confirmation before writing, if standard input is a terminal.

    Raises:
        typer.Abort: the answer is no.
    """
    if not skip and is_person_present():
        # A terminal does not always echo the answer, so the next output needs its own line.
        typer.confirm(
            f"Write {product_path} and {report_path}?",
            default=True,
            abort=True,
            prompt_suffix=":\n",
        )


def _write_product_and_report(result: ImportResult, product_path: Path, report_path: Path) -> None:
    write_files(
        [
            OutputFile(product_path, result.product_text),
            OutputFile(report_path, result.report_html, PRIVATE_MODE),
        ]
    )


def _show_progress(items: Iterator[object], count: int) -> Iterator[object]:
    """Draw a progress bar on standard error and remove it at the end."""
    console = Console(stderr=True)
    yield from track(items, "Certifying", count, console=console, transient=True)
