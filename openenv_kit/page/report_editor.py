"""Base class of an environment's editor for reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openenv_kit.page.components.row_editor import EditorColumn, EditorRow
from openenv_kit.page.visitor import Visitor


class ReportEditor:
    """Editor for the report of a running episode. Subclasses define columns and validation.

    Args:
        visitor: visitor who edits the report.

    Attributes:
        columns: columns of the report.
    """

    columns: Sequence[EditorColumn] = ()

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    def suggested_rows(self) -> Sequence[EditorRow]:
        """Return rows that the visitor may want to add, given the last reply or selection."""
        return ()

    def build_draft_row(self, draft_key: str) -> EditorRow | None:
        """Return a draft of the report row for an item of the page; None if there is no such item.

        Fields are empty if no reply has contained their value.
        """
        return None

    def format_row_title(self, row: EditorRow) -> str:
        """Return the title of a row in the editor; the row may be incomplete."""
        values = [str(row.get(column.name, "")) for column in self.columns[:3]]
        return ", ".join(value for value in values if value) or "New row"

    def format_suggested_row(self, row: EditorRow) -> str:
        """Return a suggested row as one line of text."""
        return ", ".join(str(value) for value in row.values())

    def fill_row_from_known_values(self, row: EditorRow) -> EditorRow:
        """Fill in the fields that follow from the row's other fields and from the replies."""
        return row

    def explain_why_row_cannot_be_submitted(self, row: EditorRow) -> str:
        """Return why a row cannot be submitted, such as "severity is empty"; otherwise "".

        The check covers only the format of the row, not whether its values are correct.
        """
        empty = [each.label for each in self.columns if row.get(each.name, "") == ""]
        return f"{empty[0]} is empty" if empty else ""

    def build_submit_action(self, rows: Sequence[EditorRow]) -> Mapping[str, Any]:
        """Return the action that submits the report."""
        raise NotImplementedError
