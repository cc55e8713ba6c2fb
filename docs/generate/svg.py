"""A drawing as SVG text: the same bytes on every machine, so that a test can hold plots in step.

A plotting library would embed its own version, font metrics and random ids, and is a large
dependency for a dozen line charts.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

FONT = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"
INK = "#1f2933"
MUTED = "#6b7785"
GRID = "#e4e8ee"
PAPER = "#ffffff"

Point = tuple[float, float]


class Drawing:
    """An SVG document, drawn upon from the top left corner.

    Args:
        width: in pixels.
        height: in pixels.
        title: what a screen reader says.
    """

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width = width
        self.height = height
        self._title = title
        self._parts: list[str] = []
        # A ground of its own keeps the drawing readable on a dark page.
        self.rectangle(0, 0, width, height, fill=PAPER, corner=8)

    def line(
        self, start: Point, end: Point, stroke: str, width: float = 1.0, dash: str = ""
    ) -> None:
        """A straight line."""
        (x1, y1), (x2, y2) = start, end
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}" '
            f'stroke="{stroke}" stroke-width="{number(width)}"{dashes}/>'
        )

    def path(self, points: Iterable[Point], stroke: str, width: float = 1.8) -> None:
        """A line through several points."""
        joined = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self._parts.append(
            f'<polyline points="{joined}" fill="none" stroke="{stroke}" '
            f'stroke-width="{number(width)}" stroke-linejoin="round"/>'
        )

    def rectangle(
        self, x: float, y: float, width: float, height: float, fill: str, corner: float = 0.0
    ) -> None:
        """A filled rectangle."""
        rounded = f' rx="{number(corner)}"' if corner else ""
        self._parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" fill="{fill}"{rounded}/>'
        )

    def dot(self, centre: Point, radius: float, fill: str, stroke: str = "none") -> None:
        """A circle."""
        x, y = centre
        self._parts.append(
            f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" fill="{fill}" '
            f'stroke="{stroke}" stroke-width="2"/>'
        )

    def text(
        self,
        where: Point,
        words: str,
        fill: str = INK,
        size: int = 12,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """One line of text; `anchor` is start, middle or end."""
        x, y = where
        weight = ' font-weight="600"' if bold else ""
        self._parts.append(
            f'<text x="{number(x)}" y="{number(y)}" fill="{fill}" font-size="{size}" '
            f'text-anchor="{anchor}"{weight}>{escape(words)}</text>'
        )

    def render(self) -> str:
        """The document."""
        title = escape(self._title)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" font-family="{FONT}" role="img" '
            f'aria-label="{title}">'
        )
        return "\n".join([head, f"<title>{title}</title>", *self._parts, "</svg>", ""])


def number(value: float) -> str:
    """A coordinate with one decimal at most, and no negative zero."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
