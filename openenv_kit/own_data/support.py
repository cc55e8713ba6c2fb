"""What an environment does with a user's table: import it, compare it and investigate it.

The kit reads and cleans tables. An environment that can make tasks from them has an object with the
methods of `OwnDataSupport` as its member `own_data`.
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
    """A line that a command prints: its title, such as `Thresholds`, and its text."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """How to make a product from a table.

    Attributes:
        product_name: name of the product: 1 to 40 of the characters a to z, 0 to 9 and _.
        product_file_name: name of the file to write, for the commands that the report shows.
        table_file_name: name of the table's file, for the same commands.
        report_file_name: name of the report.
        worker_count: number of processes.
        has_daily_values: whether the report may contain the table's daily values.
        show_progress: shows the progress of the certification; None for no display.
    """

    product_name: str
    product_file_name: str
    table_file_name: str
    report_file_name: str
    worker_count: int = 1
    has_daily_values: bool = True
    show_progress: ShowProgress | None = None


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """What an import made.

    Attributes:
        summary: lines to print.
        product_text: content of the product file, which has aggregates only.
        report_html: content of the report.
        has_level: whether at least one level is on.
    """

    summary: tuple[SummaryLine, ...]
    product_text: str
    report_html: str
    has_level: bool


@dataclass(frozen=True, kw_only=True)
class DriftResult:
    """How a later table compares with a product.

    Attributes:
        lines: one line for each series.
        fits: whether the product still describes the table.
    """

    lines: tuple[SummaryLine, ...]
    fits: bool


@dataclass(frozen=True, kw_only=True)
class InvestigationRequest:
    """Which days of a table to play, and how.

    Attributes:
        start: first day; None for the last days of the table.
        weeks: number of weeks.
        profile: tools that the player has; None for the default.
    """

    start: date | None = None
    weeks: int = 4
    profile: str | None = None


class InvestigatedRow(NamedTuple):
    """A report row as it is printed and written: date, name, what happened and how far."""

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
    """How far a player's report agrees with the rows of the reporting policy.

    Attributes:
        both: rows that both have, by date, entity and type.
        only_player: rows that only the player reported.
        only_policy: rows that only the reporting policy has.
        score: score of the player's report, in [0, 1]; None if it submitted none.
    """

    both: tuple[InvestigatedRow, ...]
    only_player: tuple[InvestigatedRow, ...]
    only_policy: tuple[InvestigatedRow, ...]
    score: float | None


class Investigation(Protocol):
    """An episode of a window of a user's table."""

    @property
    def title(self) -> str:
        """The window in words, such as `28 days from 2013-12-04 to 2013-12-31`."""

    @property
    def policy_rows(self) -> tuple[InvestigatedRow, ...]:
        """Rows that the reporting policy finds in the window, sorted by date."""

    def start_session(self) -> StartedSession:
        """Start the episode in a new session."""

    def compare_report(self, session: Session) -> Agreement:
        """Compare the report that was submitted in a session with the reporting policy's rows."""


class OwnDataSupport(ProductSupport, Protocol):
    """Makes products from users' tables, plays them, and investigates tables."""

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
        """Make an episode of a window of a table.

        Raises:
            ConfigurationError: the product cannot be read, the table has other stages, or the
                window is not complete.
        """
