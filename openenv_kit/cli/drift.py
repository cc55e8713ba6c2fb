"""`metric-tracker drift`: checks whether a product still fits a later table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openenv_kit.cli.common import EnvironmentOption
from openenv_kit.cli.table_options import with_table_options
from openenv_kit.cli.table_output import (
    TableExitCode,
    print_lines,
    print_table_description,
    report_refusals,
)
from openenv_kit.environment import get_environment
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.product_argument import require_own_data
from openenv_kit.own_data.support import SummaryLine

MIN_DAYS = 56
"""Smallest number of days of the table."""


@with_table_options
def drift(
    options: ImportOptions,
    product: Annotated[Path, typer.Option(help="Product file that `import` wrote.")],
    environment: EnvironmentOption = None,
) -> None:
    """Compare the last eight weeks of a table with a product.

    Exit codes: 0 product fits, 2 table or option rejected, 3 product no longer fits.
    """
    with report_refusals():
        own_data = require_own_data(get_environment(environment))
        from openenv_kit.own_data.check_days import TableLimits
        from openenv_kit.own_data.clean_table import load_table

        table = load_table(options, TableLimits(min_days=MIN_DAYS))
        print_table_description(table)
        result = own_data.compare_with_product(table, product)
        print_lines(result.lines)
    verdict = "fits" if result.fits else "no longer fits; import the table again"
    print_lines([SummaryLine("Product", f"{product.name} {verdict}")])
    raise typer.Exit(TableExitCode.DONE if result.fits else TableExitCode.NEEDS_ATTENTION)
