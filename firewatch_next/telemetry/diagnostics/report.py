"""What a diagnostic returns."""

from __future__ import annotations

from typing import NamedTuple

from firewatch_next.telemetry.limits import Table, build_reply, join_figures


class Report(NamedTuple):
    """Findings of a diagnostic: figures for the first line, then tables.

    Attributes:
        headline: newest figures, separated by commas, without the service's name. As many whole
            ones as fit are shown.
    """

    headline: str
    tables: tuple[Table, ...] = ()

    def format_text(self, subject: str, max_characters: int) -> str:
        """Return the reply; tables are separated by empty lines and those without rows left out."""
        lines: list[str] = []
        for table in self.tables:
            if table.rows:
                lines += ([""] if lines else []) + table.format_lines()
        headline = join_figures(f"{subject}:", self.headline.split(", "))
        return build_reply(headline, lines, max_characters)
