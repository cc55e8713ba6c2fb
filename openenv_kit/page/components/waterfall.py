"""Renders a score as a waterfall chart: a bar and an explanation for each part of the score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class ScorePart:
    """A part of a score.

    Attributes:
        label: name of the part.
        change: amount added to the score; negative for a penalty.
        why: explanation of the amount, with numbers.
        factor: factor that causes the change, if the part multiplies the score so far; shown
            instead of the change.
    """

    label: str
    change: float
    why: str
    factor: float | None = None


def waterfall_chart_html(parts: Iterable[ScorePart], total: float, explanation: str = "") -> str:
    """Return a waterfall chart: a bar for each part starts where the previous one ends.

    Args:
        parts: parts of the score, from the first to the last bar.
        total: the score, drawn as the final bar.
        explanation: explanation of the score; may be empty.
    """
    level, lines = 0.0, ""
    for each in parts:
        ends = sorted((level, level + each.change))
        level += each.change
        kind = "taken" if each.change < 0 else "added"
        sign = "−" if each.change < 0 else "+"
        value_text = f"{sign}{abs(each.change):.4f}"
        if each.factor is not None:
            value_text = f"× {each.factor:.4g}"
        lines += _score_bar_html(each.label, ends, value_text, each.why, kind)
    lines += _score_bar_html("score", (0.0, total), f"{total:.4f}", explanation, "total")
    return f'<ol class="mt-fall">{lines}</ol>'


def _score_bar_html(
    label: str, bar_ends: Sequence[float], value_text: str, explanation: str, css_class: str
) -> str:
    left, right = (100.0 * min(max(end, 0.0), 1.0) for end in bar_ends)
    paragraph = f"<p>{escape(explanation)}</p>" if explanation else ""
    return (
        f'<li class="{css_class}"><span>{escape(label)}</span><i aria-hidden="true">'
        f'<b style="left:{left:.2f}%;width:{right - left:.2f}%"></b></i>'
        f"<em>{value_text}</em>{paragraph}</li>"
    )
