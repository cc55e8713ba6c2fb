"""The learning curve as a PNG, drawn with Pillow alone: no browser, no plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metric_tracker_rl.learning.experiment import ARMS, LABEL_BLIND, Run

if TYPE_CHECKING:
    from PIL import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

SIZE = (1200, 680)
FINE = 2
"""Drawn this much larger, then reduced, which smooths the lines."""
LEFT, RIGHT, TOP, BOTTOM = 90, 330, 70, 70
INK, GRID, PAPER = "#1f2937", "#e5e7eb", "#ffffff"
COLOURS = {"plain": "#2563eb", "curriculum": "#059669", "shuffled": "#dc2626"}
BAND = 56
"""Opacity of the band between the worst and the best seed, of 255."""
SCORES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

Point = tuple[float, float]


def draw_chart(path: Path, runs: Sequence[Run], baselines: Mapping[str, float], title: str) -> None:
    """Write the learning curves: mean over seeds, a band from the worst to the best seed.

    Args:
        path: PNG file to write.
        runs: finished runs; at least one.
        baselines: mean held-out score of scripted policies, by name.
        title: one line above the chart.

    Raises:
        ImportError: Pillow is not installed.
    """
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("RGB", (SIZE[0] * FINE, SIZE[1] * FINE), PAPER)
    pen = ImageDraw.Draw(canvas, "RGBA")
    font = ImageFont.load_default(17 * FINE)
    frame = _Frame(max(point.updates for run in runs for point in run.curve))
    _axes(pen, font, frame, title)
    blind = max(LABEL_BLIND, key=lambda name: baselines[name])
    lines = (
        (blind, blind),
        ("upstream_first", "upstream_first"),
        ("reference", "reference policy"),
    )
    for name, label in lines:
        _level(pen, font, frame, baselines[name], f"{label} {baselines[name]:.3f}")
    arms = [name for name in ARMS if any(run.arm == name for run in runs)]
    for place, arm in enumerate(arms):
        _curve(pen, frame, [run for run in runs if run.arm == arm], COLOURS[arm])
        _legend(pen, font, place, arm)
    canvas.resize(SIZE, Image.Resampling.LANCZOS).save(path, optimize=True)


class _Frame:
    """Where an update and a score are on the canvas."""

    def __init__(self, updates: int) -> None:
        self.updates = max(updates, 1)

    def x(self, updates: float) -> float:
        width = SIZE[0] - LEFT - RIGHT
        return FINE * (LEFT + width * updates / self.updates)

    def y(self, score: float) -> float:
        height = SIZE[1] - TOP - BOTTOM
        return FINE * (SIZE[1] - BOTTOM - height * score)


def _axes(pen: ImageDraw.ImageDraw, font: Font, frame: _Frame, title: str) -> None:
    left, right = frame.x(0), frame.x(frame.updates)
    for score in SCORES:
        y = frame.y(score)
        pen.line([(left, y), (right, y)], fill=GRID, width=FINE)
        pen.text((left - 12 * FINE, y), f"{score:.1f}", fill=INK, font=font, anchor="rm")
    for fifth in range(6):
        updates = round(frame.updates * fifth / 5)
        place = (frame.x(updates), frame.y(0) + 10 * FINE)
        pen.text(place, str(updates), fill=INK, font=font, anchor="mt")
    pen.line([(left, frame.y(0)), (right, frame.y(0))], fill=INK, width=FINE)
    pen.text((left, 34 * FINE), title, fill=INK, font=font, anchor="lm")
    middle = (left + right) / 2
    pen.text((middle, frame.y(0) + 38 * FINE), "updates", fill=INK, font=font, anchor="mt")


def _level(
    pen: ImageDraw.ImageDraw,
    font: Font,
    frame: _Frame,
    score: float,
    label: str,
) -> None:
    """A dashed line at a scripted policy's score."""
    x, end, y = frame.x(0), frame.x(frame.updates), frame.y(score)
    while x < end:
        pen.line([(x, y), (min(x + 10 * FINE, end), y)], fill=INK, width=FINE)
        x += 18 * FINE
    pen.text((end + 12 * FINE, y), label, fill=INK, font=font, anchor="lm")


def _curve(pen: ImageDraw.ImageDraw, frame: _Frame, runs: Sequence[Run], colour: str) -> None:
    columns = list(zip(*(run.curve for run in runs), strict=True))
    xs = [frame.x(column[0].updates) for column in columns]
    low = [(x, frame.y(min(p.score for p in c))) for x, c in zip(xs, columns, strict=True)]
    high = [(x, frame.y(max(p.score for p in c))) for x, c in zip(xs, columns, strict=True)]
    mean = [
        (x, frame.y(sum(p.score for p in c) / len(c))) for x, c in zip(xs, columns, strict=True)
    ]
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    pen.polygon([*high, *reversed(low)], fill=(red, green, blue, BAND))
    pen.line(mean, fill=colour, width=3 * FINE, joint="curve")


def _legend(pen: ImageDraw.ImageDraw, font: Font, place: int, arm: str) -> None:
    x, y = FINE * (SIZE[0] - RIGHT + 12), FINE * (SIZE[1] / 2 - 40 + 30 * place)
    pen.line([(x, y), (x + 26 * FINE, y)], fill=COLOURS[arm], width=4 * FINE)
    pen.text((x + 36 * FINE, y), ARMS[arm].label, fill=INK, font=font, anchor="lm")
