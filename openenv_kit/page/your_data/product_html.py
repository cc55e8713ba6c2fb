"""HTML of an imported product: its levels, its summary, and buttons to play and download it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from openenv_kit.own_data.product_support import ProductLevelState
from openenv_kit.page.components.elements import button_html
from openenv_kit.page.your_data.uploaded_table import ImportedProduct

PLAY_EVENT, INVESTIGATE_EVENT = "play_product", "investigate_table"


def product_html(product: ImportedProduct, levels: Sequence[ProductLevelState], key: str) -> str:
    """Return a product's levels with buttons to play them, its summary, and download buttons.

    Args:
        product: the product.
        levels: levels of the product.
        key: secret that identifies the table in requests.
    """
    lines = "".join(
        f"<div><dt>{escape(title)}</dt><dd>{escape(text)}</dd></div>"
        for title, text in product.summary
        if title != "Levels"
    )
    investigate = button_html(INVESTIGATE_EVENT, json.dumps({"key": key}), "Investigate the table")
    return (
        f'<h3 class="mt-own-file">{escape(product.name)}</h3>{level_list_html(levels, key)}'
        f'<dl class="mt-own-facts">{lines}</dl><div class="mt-own-actions">{investigate}'
        '<button type="button" class="mt-btn" data-file="product">Download the product</button>'
        '<button type="button" class="mt-btn" data-file="report">Download the report</button>'
        "</div>"
        '<p class="mt-hint">The product file has aggregates only. The report and an investigation '
        "show your numbers. An investigation plays the last four weeks of the table; it is "
        "forgotten when the page is reloaded.</p>"
    )


def level_list_html(levels: Sequence[ProductLevelState], key: str = "") -> str:
    """Return a list of levels with a button, or with the reason why a level is not available.

    Args:
        levels: levels of the product.
        key: secret of the uploaded table; empty for the example.
    """
    items = "".join(
        f'<li class="{"on" if level.is_on else "off"}"><b>{escape(level.name)}</b>'
        f"<span>{'on' if level.is_on else 'off: ' + escape(level.reason)}</span>"
        f"{_play_button_html(level, key)}</li>"
        for level in levels
    )
    return f'<ul class="mt-own-levels">{items}</ul>'


def _play_button_html(level: ProductLevelState, key: str) -> str:
    if not level.is_on:
        return ""
    value = json.dumps({"key": key, "level": level.name})
    hint = f"Play an episode on level {level.name}"
    return button_html(PLAY_EVENT, value, "Play", css_class="primary", hint=hint)
