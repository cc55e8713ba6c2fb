"""Figures beside the bounds that they are held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One line of a table.

    Attributes:
        name: what was measured.
        value: what was found.
        bound: what it may be at most, or must be at least; None where it is only told.
        unit: of both.
        is_minimum: whether the bound is the least.
    """

    name: str
    value: float
    bound: float | None
    unit: str
    is_minimum: bool = False

    @property
    def is_within_bound(self) -> bool:
        """Whether the figure is within its bound."""
        if self.bound is None:
            return True
        return self.value >= self.bound if self.is_minimum else self.value <= self.bound


def print_figures(title: str, figures: Sequence[Figure]) -> bool:
    """Print a table; whether every figure holds."""
    table = Table(title=title)
    for name in ("what", "figure", "bound", "holds"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for each in figures:
        value = f"{each.value:,.4g} {each.unit}"
        if each.bound is None:
            table.add_row(each.name, value, "", "")
            continue
        sign = "≥" if each.is_minimum else "≤"
        bound = f"{sign} {each.bound:,.4g} {each.unit}"
        table.add_row(each.name, value, bound, "yes" if each.is_within_bound else "NO")
    Console(width=100).print(table)
    return all(each.is_within_bound for each in figures)
