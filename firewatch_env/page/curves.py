"""Curves over steps or ticks, drawn as SVG by the server in the colours of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 100.0, 40.0
"""Of a panel, in its own units; it is stretched to the room there is."""


@dataclass(frozen=True)
class Curve:
    """One curve: its name, its values by place, and its class, `c1` to `c4`."""

    name: str
    values: Sequence[float]
    style: str = "c1"


def curves_html(
    title: str,
    curves: Sequence[Curve],
    *,
    last: int,
    unit: str = "",
    marks: Sequence[int] = (),
    top: float | None = None,
) -> str:
    """A panel with curves on one scale that begins at 0.

    Args:
        title: of the panel.
        curves: drawn in this order.
        last: rightmost place, at least 1.
        unit: written behind values.
        marks: places of dotted lines, such as ticks at which something was changed.
        top: value at the upper edge; None for the largest.
    """
    most = top or max((value for each in curves for value in each.values), default=0.0) or 1.0
    right = max(last, 1)

    def x(at: float) -> float:
        return WIDTH * at / right

    paths = "".join(
        f'<path class="mark" d="M{x(at):.1f} 0V{HEIGHT:g}"/>' for at in dict.fromkeys(marks)
    )
    labels = []
    for each in curves:
        points = (
            f"{x(at):.2f} {HEIGHT * (1 - min(value / most, 1.0)):.2f}"
            for at, value in enumerate(each.values)
        )
        paths += f'<path class="{each.style}" d="M{"L".join(points)}"/>' if each.values else ""
        ends = f"{each.values[-1]:,.4g}{unit}" if each.values else "none"
        labels.append(f"{each.name} {ends}".strip())
    legend = "".join(
        f'<li class="{each.style}">{escape(text)}</li>'
        for each, text in zip(curves, labels, strict=True)
    )
    return (
        f'<figure class="mt-curves" aria-label="{escape(f"{title}: " + "; ".join(labels))}">'
        f"<figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" aria-hidden="true">'
        f"{paths}</svg><footer><span>0</span><span>up to {most:,.4g}{unit}</span>"
        f"<span>{right}</span></footer><ul>{legend}</ul></figure>"
    )
