"""Measured figures and the bounds that they must keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: what was measured.
        value: measured value.
        bound: largest or smallest allowed value; None without a bound.
        unit: unit of value and bound.
        is_minimum: whether the bound is the smallest allowed value.
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
    """Print a table of figures. Return whether every figure is within its bound."""
    table = Table(title=title)
    for name in ("what", "figure", "bound", "within bound"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for figure in figures:
        value = f"{figure.value:,.4g} {figure.unit}"
        if figure.bound is None:
            table.add_row(figure.name, value, "", "")
            continue
        sign = "≥" if figure.is_minimum else "≤"
        bound = f"{sign} {figure.bound:,.4g} {figure.unit}"
        table.add_row(figure.name, value, bound, "yes" if figure.is_within_bound else "NO")
    Console(width=100).print(table)
    return all(figure.is_within_bound for figure in figures)
