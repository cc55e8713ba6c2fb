"""Tool results as HTML: readable names of fields at every depth."""

from __future__ import annotations

from openenv_kit.page.components.elements import value_html
from openenv_kit.page.components.tool_result import tool_result_html


def test_fields_at_every_depth_have_the_readable_name() -> None:
    labels = {"max_delta": "largest change", "parts": "steps of the way"}
    html = tool_result_html(
        {
            "max_delta": 1,
            "summary": {"max_delta": 2},
            "rows": [{"series_name": "orders", "max_delta": 3, "parts": [{"max_delta": 4}]}],
        },
        lambda _, value, __: value_html(value),
        lambda name: labels.get(name, name),
    )
    assert html.count("<dt>largest change</dt>") == 2
    assert html.count('<th scope="col" class="num">largest change</th>') == 2
    assert "orders steps of the way (1)" in html
    assert "max_delta" not in html
