"""Small pieces of HTML; everything that comes from outside is escaped here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date as Date
from html import escape
from typing import Any

MAX_TABLE_ROWS = 200
"""Lines of a result table on the page; the JSON beside it holds all."""
MAX_JSON = 60_000
"""Characters of JSON shown; an answer without a bound would make the page crawl."""


def format_value(value: object) -> str:
    """A value as people read it, escaped: thousands separated, needless decimals cut."""
    if isinstance(value, bool) or value is None:
        return "–" if value is None else ("yes" if value else "no")
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list | tuple) and not any(isinstance(v, dict | list) for v in value):
        return ", ".join(format_value(each) for each in value) or "–"
    return escape(json.dumps(value, default=str))


def humanize(name: str) -> str:
    """A name as people read it."""
    return name.replace("_", " ")


def format_day(date: str) -> str:
    """`2026-03-03` as `Tue 3 Mar`; other text as it is."""
    try:
        day = Date.fromisoformat(date)
    except ValueError:
        return date
    return f"{day:%a} {day.day} {day:%b}"


def button_html(
    event: str, value: object, label: str, *, style: str = "", hint: str = "", key: str = ""
) -> str:
    """A button inside HTML.

    Args:
        event: of the page's bridge, as which a click is passed on.
        value: of the event.
        label: what stands on it.
        style: `primary`, `link`, empty, or `off` for one that would do nothing now.
        hint: its name where the label alone does not tell; empty for none.
        key: by which it gets the keyboard back when it was drawn anew; empty for none.
    """
    more = f' title="{escape(hint)}" aria-label="{escape(hint)}"' if hint else ""
    more += f' data-key="{escape(key)}"' if key else ""
    more += ' aria-disabled="true"' if style == "off" else ""
    return (
        f'<button type="button" class="mt-btn {style}" data-mt="{event}" '
        f'data-value="{escape(str(value))}"{more}>{escape(label)}</button>'
    )


def table_html(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str = "",
    numbers: Sequence[int] = (),
) -> str:
    """A table of ready HTML cells; `numbers` are the columns that are set flush right."""
    right = [' class="num"' if at in numbers else "" for at in range(len(columns))]
    head = "".join(
        f'<th scope="col"{style}>{escape(humanize(name))}</th>'
        for style, name in zip(right, columns, strict=True)
    )
    cells = ((f"<td{s}>{c}</td>" for s, c in zip(right, row, strict=True)) for row in rows)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    name = escape(caption) or "table"
    return (
        f'<div class="mt-scroll" tabindex="0" role="region" aria-label="{name}">'
        f'<table class="mt-table">{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def facts_html(
    pairs: Mapping[str, Any],
    format_item: Callable[[str, Any], str] = lambda _, value: format_value(value),
) -> str:
    """Names and values, one pair a line; `shown` writes a value, given its name."""
    lines = "".join(
        f'<div class="{"wide" if isinstance(value, list | tuple) else ""}">'
        f"<dt>{escape(humanize(name))}</dt><dd>{format_item(name, value)}</dd></div>"
        for name, value in pairs.items()
    )
    return f'<dl class="mt-facts">{lines}</dl>'


def note_html(message: str, kind: str = "") -> str:
    """One sentence in a quiet box; kind is "", "good" or "bad"."""
    return f'<p class="mt-note {kind}">{escape(message)}</p>' if message else ""


def hint_html(message: str) -> str:
    """What an empty place says."""
    return f'<p class="mt-hint">{escape(message)}</p>'


def heading_html(title: str, below: str = "") -> str:
    """Title of a part of the page."""
    line = f"<p>{escape(below)}</p>" if below else ""
    return f'<div class="mt-heading"><h2>{escape(title)}</h2>{line}</div>'


def json_html(value: Any, title: str = "JSON, as a model reads it") -> str:
    """A fold with a value's JSON, cut to what a page can show."""
    full = json.dumps(value, indent=1, ensure_ascii=False)
    more = len(full) - MAX_JSON
    shown = f"{full[:MAX_JSON]}\n… {more:,} more characters" if more > 0 else full
    return (
        f'<details class="mt-code"><summary>{escape(title)}</summary>'
        f'<pre tabindex="0" role="region" aria-label="{escape(title)}">{escape(shown)}</pre>'
        "</details>"
    )


def score_components_html(score: str) -> str:
    """A fold with the HTML of what a score is made of."""
    return f"<details><summary>What the score is made of</summary>{score}</details>"


def bar_html(label: str, share: float, value: str) -> str:
    """A labelled bar; `share` in [0, 1] is its length."""
    width = 100.0 * min(max(share, 0.0), 1.0)
    return (
        f'<div class="mt-bar"><span>{escape(label)}</span>'
        f'<i aria-hidden="true"><b style="width:{width:.1f}%"></b></i>'
        f"<em>{escape(value)}</em></div>"
    )
