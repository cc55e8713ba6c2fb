"""Functions that render basic HTML elements. They escape the text in their arguments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date as Date
from html import escape
from typing import Any

MAX_TABLE_ROWS = 200
"""Maximum number of rows of a result table on the page. The JSON of the result has all rows."""
MAX_JSON_CHARACTERS = 60_000
"""Maximum number of characters of a JSON document. Longer documents would slow down the page."""


def value_html(value: object) -> str:
    """Return a value as escaped text; numbers have thousands separators and no trailing zeros."""
    if isinstance(value, bool) or value is None:
        return "–" if value is None else ("yes" if value else "no")
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list | tuple) and not any(isinstance(v, dict | list) for v in value):
        return ", ".join(value_html(each) for each in value) or "–"
    return escape(json.dumps(value, default=str))


def humanize(name: str) -> str:
    """Return an identifier with spaces instead of underscores."""
    return name.replace("_", " ")


def format_short_date(iso_date: str) -> str:
    """Return a date such as `2026-03-03` as `Tue 3 Mar`, and any other string unchanged."""
    try:
        day = Date.fromisoformat(iso_date)
    except ValueError:
        return iso_date
    return f"{day:%a} {day.day} {day:%b}"


def button_html(
    event: str,
    event_value: object,
    label: str,
    *,
    css_class: str = "",
    hint: str = "",
    focus_key: str = "",
) -> str:
    """Return a button.

    Args:
        event: page event that a click sends.
        event_value: value that is sent with the event.
        label: text on the button.
        css_class: `primary`, `link`, `off` (the button currently has no effect), or empty.
        hint: tooltip and accessible name, if the label alone is not clear; may be empty.
        focus_key: key that stays the same when the button is rendered again, so that it keeps the
            focus; may be empty.
    """
    more = f' title="{escape(hint)}" aria-label="{escape(hint)}"' if hint else ""
    more += f' data-key="{escape(focus_key)}"' if focus_key else ""
    more += ' aria-disabled="true"' if css_class == "off" else ""
    return (
        f'<button type="button" class="mt-btn {css_class}" data-mt="{event}" '
        f'data-value="{escape(str(event_value))}"{more}>{escape(label)}</button>'
    )


def table_html(
    columns: Sequence[str],
    html_rows: Sequence[Sequence[str]],
    caption: str = "",
    numeric_columns: Sequence[int] = (),
) -> str:
    """Return a table.

    Args:
        columns: names of the columns.
        html_rows: for each row, the HTML of its cells.
        caption: text above the table; may be empty.
        numeric_columns: indexes of the right-aligned columns.
    """
    right = [' class="num"' if at in numeric_columns else "" for at in range(len(columns))]
    head = "".join(
        f'<th scope="col"{style}>{escape(humanize(name))}</th>'
        for style, name in zip(right, columns, strict=True)
    )
    cells = ((f"<td{s}>{c}</td>" for s, c in zip(right, row, strict=True)) for row in html_rows)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    name = escape(caption) or "table"
    return (
        f'<div class="mt-scroll" tabindex="0" role="region" aria-label="{name}">'
        f'<table class="mt-table">{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def definition_list_html(
    values_by_name: Mapping[str, Any],
    format_item: Callable[[str, Any], str] = lambda _, value: value_html(value),
    format_name: Callable[[str], str] = humanize,
) -> str:
    """Return a definition list, with a name and its value on each line.

    Args:
        values_by_name: the values, by name.
        format_item: returns the HTML of a value, given its name and the value.
        format_name: returns the readable form of a name.
    """
    lines = "".join(
        f'<div class="{"wide" if isinstance(value, list | tuple) else ""}">'
        f"<dt>{escape(format_name(name))}</dt><dd>{format_item(name, value)}</dd></div>"
        for name, value in values_by_name.items()
    )
    return f'<dl class="mt-facts">{lines}</dl>'


def message_box_html(message: str, css_class: str = "") -> str:
    """Return a message in a box, or an empty string for an empty message.

    Args:
        message: text in the box.
        css_class: `good`, `bad` or empty.
    """
    return f'<p class="mt-note {css_class}">{escape(message)}</p>' if message else ""


def hint_html(message: str) -> str:
    """Return a paragraph with a hint for the visitor."""
    return f'<p class="mt-hint">{escape(message)}</p>'


def heading_html(title: str, subtitle: str = "") -> str:
    """Return the heading of a section, followed by the subtitle if it is not empty."""
    line = f"<p>{escape(subtitle)}</p>" if subtitle else ""
    return f'<div class="mt-heading"><h2>{escape(title)}</h2>{line}</div>'


def collapsed_truncated_json_html(value: Any, title: str = "JSON, as a model reads it") -> str:
    """Return a collapsed element that contains a value as JSON.

    The JSON is truncated to `MAX_JSON_CHARACTERS`.
    """
    full = json.dumps(value, indent=1, ensure_ascii=False)
    more = len(full) - MAX_JSON_CHARACTERS
    shown = f"{full[:MAX_JSON_CHARACTERS]}\n… {more:,} more characters" if more > 0 else full
    return (
        f'<details class="mt-code"><summary>{escape(title)}</summary>'
        f'<pre tabindex="0" role="region" aria-label="{escape(title)}">{escape(shown)}</pre>'
        "</details>"
    )


def collapsed_score_components_html(components_html: str) -> str:
    """Return a collapsed element that contains the HTML of the score components."""
    return f"<details><summary>What the score is made of</summary>{components_html}</details>"


def bar_html(label: str, share: float, value_text: str) -> str:
    """Return a horizontal bar between a label and a value.

    Args:
        label: text before the bar.
        share: filled share of the bar, from 0 to 1.
        value_text: text after the bar.
    """
    width = 100.0 * min(max(share, 0.0), 1.0)
    return (
        f'<div class="mt-bar"><span>{escape(label)}</span>'
        f'<i aria-hidden="true"><b style="width:{width:.1f}%"></b></i>'
        f"<em>{escape(value_text)}</em></div>"
    )
