"""Waterfall chart of a score: what each part adds or subtracts, as a bar and a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class ScorePart:
    """A part of a score.

    Attributes:
        label: what is added or subtracted.
        change: change of the score; negative for a penalty.
        why: explanation with the numbers.
    """

    label: str
    change: float
    why: str


def waterfall_html(parts: Iterable[ScorePart], total: float, why: str = "") -> str:
    """Return the parts from top to bottom, each bar starting where the previous one ends.

    Args:
        parts: parts in the order in which they are counted.
        total: the score.
        why: explanation of the score.
    """
    level, lines = 0.0, ""
    for each in parts:
        ends = sorted((level, level + each.change))
        level += each.change
        kind = "taken" if each.change < 0 else "added"
        sign = "−" if each.change < 0 else "+"
        lines += _part_html(each.label, ends, f"{sign}{abs(each.change):.4f}", each.why, kind)
    lines += _part_html("score", (0.0, total), f"{total:.4f}", why, "total")
    return f'<ol class="mt-fall">{lines}</ol>'


def _part_html(label: str, ends: Sequence[float], value: str, why: str, kind: str) -> str:
    left, right = (100.0 * min(max(end, 0.0), 1.0) for end in ends)
    said = f"<p>{escape(why)}</p>" if why else ""
    return (
        f'<li class="{kind}"><span>{escape(label)}</span><i aria-hidden="true">'
        f'<b style="left:{left:.2f}%;width:{right - left:.2f}%"></b></i>'
        f"<em>{value}</em>{said}</li>"
    )
