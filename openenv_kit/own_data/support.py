"""Interface of an environment that can import, compare and investigate users' tables.

The kit reads and cleans tables. The member `own_data` of an environment that supports them
implements `OwnDataSupport`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple, Protocol

from openenv_kit.own_data.cleaned_table import CleanedTable
from openenv_kit.own_data.product_support import ProductSupport
from openenv_kit.rollouts.run_policy import StartedSession
from openenv_kit.session import Session

ShowProgress = Callable[[Iterator[object], int], Iterator[object]]
"""Wraps an iterator over a known number of items, for example to draw a progress bar."""


class SummaryLine(NamedTuple):
    """A line of a command's output, with a title such as `Thresholds`."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """Settings for making a product from a table.

    Attributes:
        product_name: name of the product: 1 to 40 characters from a to z, 0 to 9 and _.
        product_file_name: name of the product file, for the example commands in the report.
        table_words: command-line words that select and read the table, for the example commands in
            the report.
        report_file_name: name of the report file.
        worker_count: number of processes.
        has_daily_values: whether the report may contain the table's daily values.
        show_progress: function that displays the progress of the certification; None for none.
    """

    product_name: str
    product_file_name: str
    table_words: tuple[str, ...]
    report_file_name: str
    worker_count: int = 1
    has_daily_values: bool = True
    show_progress: ShowProgress | None = None


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """Result of an import.

    Attributes:
        summary: lines to print.
        product_text: content of the product file, which contains only aggregates.
        report_html: content of the report.
        has_level: whether at least one level is available.
    """

    summary: tuple[SummaryLine, ...]
    product_text: str
    report_html: str
    has_level: bool


@dataclass(frozen=True, kw_only=True)
class DriftResult:
    """Comparison of a later table with a product.

    Attributes:
        lines: one line for each series.
        fits: whether the table still agrees with the product.
    """

    lines: tuple[SummaryLine, ...]
    fits: bool


@dataclass(frozen=True, kw_only=True)
class InvestigationRequest:
    """The days of a table to investigate, and the tools for it.

    Attributes:
        start: first day; None to use the last weeks of the table.
        weeks: number of weeks.
        profile: name of the set of tools that the player gets; None for the default set.
    """

    start: date | None = None
    weeks: int = 4
    profile: str | None = None


class InvestigatedRow(NamedTuple):
    """A report row in the form in which it is printed and saved."""

    date: str
    entity_type: str
    entity_name: str
    anomaly_type: str
    baseline_value: float
    observed_value: float
    delta_value: float
    severity: str


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Comparison of a player's report with the rows of the reporting policy.

    Attributes:
        both: rows in both reports; rows are compared by date, entity and anomaly type.
        only_player: rows that only the player reported.
        only_policy: rows that only the reporting policy reports.
        score: score of the player's report, in [0, 1]; None if no report was submitted.
        percent_entity_types: entity types whose values are in percent.
    """

    both: tuple[InvestigatedRow, ...]
    only_player: tuple[InvestigatedRow, ...]
    only_policy: tuple[InvestigatedRow, ...]
    score: float | None
    percent_entity_types: tuple[str, ...] = ()


class Investigation(Protocol):
    """An episode that is made from a window of a user's table."""

    @property
    def title(self) -> str:
        """Description of the window, such as `28 days from 2013-12-04 to 2013-12-31`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about the window's rows, one sentence each."""

    @property
    def policy_rows(self) -> tuple[InvestigatedRow, ...]:
        """Rows that the reporting policy reports for the window, sorted by date."""

    def start_session(self) -> StartedSession:
        """Start the episode in a new session."""

    def compare_report(self, session: Session) -> Agreement:
        """Compare the report submitted in a session with the rows of the reporting policy."""


class OwnDataSupport(ProductSupport, Protocol):
    """Interface for products and users' tables; the member `own_data` of an environment."""

    def import_table(self, table: CleanedTable, request: ImportRequest) -> ImportResult:
        """Make a product from a table.

        Raises:
            ConfigurationError: the table has too few usable days.
        """

    def compare_with_product(self, table: CleanedTable, product_file: Path) -> DriftResult:
        """Compare the last weeks of a table with a product.

        Raises:
            ConfigurationError: the product cannot be read, or the table has other stages.
        """

    def start_investigation(
        self, table: CleanedTable, product_file: Path, request: InvestigationRequest
    ) -> Investigation:
        """Make an episode from a window of a table.

        Raises:
            ConfigurationError: the product cannot be read, the table has other stages, or the
                window is not complete.
        """
