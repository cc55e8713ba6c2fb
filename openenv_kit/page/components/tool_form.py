"""The tools of an episode in groups, with a search field and the form of the selected tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from openenv_kit.page.components.elements import humanize
from openenv_kit.page.components.forms import form_html
from openenv_kit.tool import Tool

OTHER_TOOLS = "Other tools"


def group_tools(
    tools: Sequence[Tool], names_by_group: Mapping[str, Sequence[str]]
) -> dict[str, list[Tool]]:
    """Return the tools by group, without empty groups. Tools without a group come last."""
    tool_by_name = {tool.name: tool for tool in tools}
    groups = {
        group: [tool_by_name[name] for name in names if name in tool_by_name]
        for group, names in names_by_group.items()
    }
    grouped = {tool.name for some in groups.values() for tool in some}
    groups[OTHER_TOOLS if grouped else "Tools"] = [
        tool for tool in tools if tool.name not in grouped
    ]
    return {group: some for group, some in groups.items() if some}


def tool_search_and_form_html(
    tools: Sequence[Tool],
    names_by_group: Mapping[str, Sequence[str]],
    selected_name: str,
    initial_values: Mapping[str, Any],
    suggestions: Mapping[str, Sequence[str]],
    problem: str = "",
    titles: Mapping[str, str] | None = None,
) -> str:
    """Return the tools in groups, a search field for them and the form of the selected tool.

    Args:
        tools: tools to list.
        names_by_group: names of tools by group.
        selected_name: name of the tool whose form is shown; if no tool has this name, no form is
            shown.
        initial_values: values that are filled in, by argument name.
        suggestions: suggested values by argument name.
        problem: error message to show below the form; empty if there is no error.
        titles: readable titles of tools by name. The default is the name with spaces.
    """
    groups = ""
    for group, some in group_tools(tools, names_by_group).items():
        items = "".join(_tool_item_html(tool, (titles or {}).get(tool.name, "")) for tool in some)
        groups += f"<section><h3>{escape(group)}</h3><ul>{items}</ul></section>"
    selected = next((tool for tool in tools if tool.name == selected_name), None)
    form = ""
    if selected is not None:
        error = f'<p class="mt-error" role="alert">{escape(problem)}</p>' if problem else ""
        fields = form_html(
            selected.name, "run", "Run", selected.parameters, initial_values, suggestions
        )
        form = (
            f'<div class="mt-toolform"><h3><code>{escape(selected.name)}</code></h3>'
            f"<p>{escape(selected.description)}</p>{fields}{error}</div>"
        )
    return (
        '<label class="mt-search"><span class="mt-unseen">Search tools</span><input type="search" '
        f'placeholder="Search {len(tools)} tools" data-filter=".mt-toolgroups li" '
        f'data-key="tool search"></label><div class="mt-toolgroups">{groups}</div>{form}'
    )


def _tool_item_html(tool: Tool, title: str) -> str:
    text = f"{tool.name} {humanize(tool.name)} {title} {tool.description}".lower()
    hint = f"{tool.name}: {tool.description}"
    return (
        f'<li data-text="{escape(text)}"><button type="button" class="mt-btn" '
        f'data-mt="choose_tool" data-value="{escape(tool.name)}" '
        f'data-key="choose {escape(tool.name)}" title="{escape(hint)}">'
        f"{escape(title or humanize(tool.name))}</button></li>"
    )
