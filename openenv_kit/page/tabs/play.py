"""Play tab of the debugger: a finished example at first, then the visitor's own episode.

For an episode, the tab shows the overview, suggested tool calls, the last reply, the report, the
score and the forms of all tools.
"""

from __future__ import annotations

import json
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from openenv_kit.errors import InvalidValueError
from openenv_kit.page.components.elements import (
    button_html,
    collapsed_truncated_json_html,
    heading_html,
    hint_html,
    humanize,
    message_box_html,
)
from openenv_kit.page.components.forms import (
    convert_filled_fields_to_arguments,
    form_html,
    parse_form_event,
)
from openenv_kit.page.components.playback_html import episode_result_html_if_finished
from openenv_kit.page.components.row_editor import apply_row_edit_if_valid, row_editor_html
from openenv_kit.page.environment_view import (
    EnvironmentView,
    NextStepHint,
    QuestionPanel,
    ReportEditor,
    tool_result_from_observation,
)
from openenv_kit.page.events import Page, run_or_ask_before_ending_episode
from openenv_kit.page.page_address import choose_unseen_task_reset
from openenv_kit.page.visitor import ConfirmationRequired, Visitor
from openenv_kit.tool import Tool

EDIT_ROWS_EVENT = "edit_rows"
VIEWS_OF_STEP = ("status", "story", "picture", "ask", "answer", "report", "below", "bench", "steps")
"""Names of the views that are rendered after a step."""
VIEWS_OF_SELECTION = ("status", "ask", "bench", "below")
"""Names of the views that are rendered after a click on the overview.

The overview itself is not rendered again: the page's script highlights the selected item.
"""
VIEWS_OF_REPORT = ("status", "picture", "answer", "report")
"""Names of the views that are rendered after a change of the report."""


def build_play_tab(page: Page) -> None:
    """Build the Play tab and its event listeners. The style sheet hides empty views."""
    scenes = page.environment_view
    page.add_html_view("opening", example_episode_html)
    with gr.Column(elem_id="mt-room"):
        page.add_html_view(
            "story", lambda s, v: episode_result_html_if_finished(s, v.playback_steps, v.reset)
        )
        with gr.Row(equal_height=False, elem_classes="mt-room"):
            with gr.Column(min_width=320, scale=5):
                page.add_html_view("picture", episode_overview_html)
            with gr.Column(min_width=320, scale=3, elem_classes="mt-asked"):
                page.add_html_view(
                    "ask",
                    lambda s, v: question_panel_html(s.question_panel(v)) if v.has_episode else "",
                )
                page.add_html_view("answer", last_reply_and_suggested_rows_html)
        page.add_html_view("report", report_editor_html)
        page.add_html_view("below", lambda s, v: s.details_html(v) if v.has_episode else "")
        page.add_html_view("bench", tool_search_and_selected_form_html, "mt-every")
        page.add_html_view("steps", own_steps_link_html)
    bridge = page.bridge
    handle_every_click = {"trigger_mode": "multiple"}
    page.add_page_event_handler(bridge.replay, _show_example_step, ["opening"])
    page.add_page_event_handler(bridge.pick, _set_overview_selection, VIEWS_OF_SELECTION)
    page.add_page_event_handler(bridge.choose_tool, _select_tool_form, ["bench"])
    page.add_page_event_handler(
        bridge.run, partial(_call_tool_from_form, scenes), VIEWS_OF_STEP, **handle_every_click
    )
    page.add_page_event_handler(
        bridge.ask,
        partial(_call_suggested_tool_or_ask_before_end, scenes),
        VIEWS_OF_STEP,
        **handle_every_click,
    )
    page.add_page_event_handler(
        bridge.add_row, partial(_add_suggested_row, scenes), VIEWS_OF_REPORT, **handle_every_click
    )
    page.add_page_event_handler(
        bridge.edit_rows,
        partial(_apply_report_edit_and_fill_row, scenes),
        VIEWS_OF_REPORT,
        **handle_every_click,
    )
    page.add_page_event_handler(
        bridge.submit,
        partial(_submit_report_or_ask_if_faulty, scenes),
        VIEWS_OF_STEP,
        **handle_every_click,
    )


def start_unseen_episode_or_ask(
    environment_view: EnvironmentView, visitor: Visitor, _: object = None
) -> None:
    """Start an episode that the visitor has not seen, after confirmation if one is running."""
    reset = choose_unseen_task_reset(environment_view, visitor)
    run_or_ask_before_ending_episode(visitor, "Another episode", lambda v: v.start_episode(**reset))


def choose_next_step_hint(environment_view: EnvironmentView, visitor: Visitor) -> NextStepHint:
    """Return the suggested next step: the next episode, a change of the report or its submission.

    If the report is empty, the environment view suggests the step.
    """
    if visitor.is_done:
        return NextStepHint(
            environment_view.result_headline(visitor.playback_steps), "Next episode", "next_episode"
        )
    report = environment_view.report_editor(visitor)
    if report is None or not visitor.report_rows:
        return environment_view.next_step_hint_for_empty_report(visitor)
    count = f"{len(visitor.report_rows)} row{'' if len(visitor.report_rows) == 1 else 's'}"
    finished = f"Your report has {count}. Add what is missing, or submit it."
    return NextStepHint(
        _format_first_two_report_problems(report) or finished, f"Submit {count}", "submit"
    )


def example_episode_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the example up to its current step; empty after the visitor has started an episode."""
    demo = visitor.example_episode
    if demo is None:
        return ""
    links = button_html("replay", len(demo.steps) - 1, "Replay", css_class="link")
    links += button_html("watch_play", "", "Step by step", css_class="link")
    return (
        '<section class="mt-opening"><div class="mt-pitch">'
        '<p class="mt-eyebrow">An example, played to its end; score 0 to 1</p>'
        f"<h2>{escape(environment_view.result_headline(demo.steps))}</h2>"
        f"<p>{escape(environment_view.objective)}</p><div>"
        f"{button_html('next_episode', '', 'Play one yourself', css_class='primary')}{links}"
        '</div></div><div class="mt-picture">'
        f"{environment_view.overview_html(demo.visible_steps, demo.reset)}</div></section>"
    )


def episode_overview_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the overview of the visitor's episode."""
    if not visitor.has_episode:
        return ""
    return environment_view.overview_html(
        visitor.playback_steps, visitor.reset, visitor.selection, visitor.report_rows
    )


def question_panel_html(panel: QuestionPanel | None) -> str:
    """Return the suggested tool calls as groups of buttons; empty if there is no panel."""
    if panel is None:
        return ""
    groups = ""
    for name, calls in panel.groups.items():
        buttons = "".join(
            "<li>"
            + button_html(
                "ask",
                json.dumps([call.tool, call.arguments], default=str),
                call.label,
                focus_key=f"{call.tool} {call.label}",
            )
            + "</li>"
            for call in calls
        )
        groups += f"<h3>{escape(name)}</h3><ul>{buttons}</ul>" if calls else ""
    title = f"<h2>{escape(panel.title)}</h2>"
    return (
        f'<section class="mt-asking" aria-label="Ask">{title}{panel.known_html}{groups}</section>'
    )


def last_reply_and_suggested_rows_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the last reply of the running episode, with the report rows that it suggests."""
    if visitor.step_count == 0 or visitor.is_done:
        return ""
    action, seen = visitor.playback_steps[-1].action, visitor.last_observation
    shown = environment_view.reply_html_without_status_and_message(seen) or message_box_html(
        str(seen.get("message") or "")
    )
    tool_result = tool_result_from_observation(environment_view.environment, seen)
    return (
        '<section class="mt-answer" aria-label="Answer">'
        f"<h2>{escape(environment_view.format_action_for_display(action))}</h2>"
        f"{suggested_rows_html(environment_view, visitor)}{shown}"
        f"{collapsed_truncated_json_html(tool_result)}</section>"
    )


def suggested_rows_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the suggested report rows, each with a button that adds the row to the report."""
    lines, report = "", environment_view.report_editor(visitor)
    for at, row in enumerate(report.suggested_rows() if report else ()):
        text = report.format_suggested_row(row) if report else ""
        add = '<span class="mt-in">in the report</span>'
        if row not in visitor.report_rows:
            name = f"Add to report: {text}"
            add = button_html("add_row", at, "Add to report", hint=name, focus_key=f"add {at}")
        lines += f"<li><span>{escape(text)}</span>{add}</li>"
    return f'<ul class="mt-offers">{lines}</ul>' if lines else ""


def report_editor_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the report editor; empty after the end of the episode."""
    report = environment_view.report_editor(visitor)
    if not visitor.has_episode or visitor.is_done or report is None:
        return ""
    table = row_editor_html(EDIT_ROWS_EVENT, report.columns, visitor.report_rows, "Your report")
    empty = (
        ""
        if visitor.report_rows
        else hint_html("No rows yet: add one from an answer, or fill one in.")
    )
    bare = button_html("submit", "", "Nothing was wrong: submit it empty", css_class="link")
    return f"{heading_html('Your report')}{empty}{table}{'' if visitor.report_rows else bare}"


def find_tools_not_covered_by_report_editor(
    environment_view: EnvironmentView, visitor: Visitor
) -> dict[str, Tool]:
    """Return the tools that have a form, by name.

    If the environment has a report editor, only read-only tools have a form.
    """
    has_report_editor = environment_view.report_editor(visitor) is not None
    tools = environment_view.environment.tools.tools
    return {each.name: each for each in tools if each.is_read_only or not has_report_editor}


def tool_search_and_selected_form_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return a search field for the tools, and the form of the selected tool."""
    if not visitor.has_episode or visitor.is_done:
        return ""
    tools, asked = (
        find_tools_not_covered_by_report_editor(environment_view, visitor),
        environment_view.question_panel(visitor),
    )
    options = "".join(f'<option value="{escape(name)}">' for name in tools)
    chosen = tools.get(visitor.selected_tool) or next(iter(tools.values()))
    suggested = asked.suggested_values if asked else {}
    known: dict[str, Any] = {name: some[0] for name, some in suggested.items() if some}
    if visitor.report_rows:
        known["rows"] = visitor.report_rows
    form = form_html(chosen.name, "run", "Run it", chosen.parameters, known, suggested)
    opened = " open" if visitor.selected_tool or asked is None else ""
    return (
        f'<details class="mt-bench" id="mt-bench"{opened}><summary>All {len(tools)} tools, with '
        f'their arguments</summary><label class="mt-search">Search the tools <input '
        f'type="search" list="mt-tools" data-choose="choose_tool" data-key="tool" '
        f'value="{escape(chosen.name)}"></label><datalist id="mt-tools">{options}</datalist>'
        f"{message_box_html(chosen.description)}{form}</details>"
    )


def own_steps_link_html(_: EnvironmentView, visitor: Visitor) -> str:
    """Return a link that opens the visitor's own steps on the Watch tab."""
    if not visitor.step_count:
        return ""
    return button_html(
        "watch_play", "", f"Look at your steps again ({visitor.step_count})", css_class="link"
    )


def _show_example_step(visitor: Visitor, step: Any) -> None:
    """Show a step of the example. The page's script requests the steps in order."""
    if visitor.example_episode is not None:
        visitor.example_episode.show_navigation_target(step)


def _set_overview_selection(visitor: Visitor, selection: object) -> None:
    if isinstance(selection, str) and len(selection) < 200:
        visitor.selection = selection


def _select_tool_form(visitor: Visitor, tool: object) -> None:
    visitor.selected_tool = str(tool or "")[:80]


def _call_suggested_tool_or_ask_before_end(
    environment_view: EnvironmentView, visitor: Visitor, form_event_json: object
) -> None:
    """Call a suggested tool. If the call would end the episode, request confirmation first."""
    name, arguments = parse_form_event(form_event_json)
    if (
        visitor.has_episode
        and not visitor.is_done
        and environment_view.environment.tools.find_tool(name).is_final
    ):
        text = f"{humanize(name).capitalize()}: this ends the episode."
        raise ConfirmationRequired(text, "End it", lambda who: who.call_tool(name, arguments))
    visitor.call_tool(name, arguments)


def _call_tool_from_form(
    environment_view: EnvironmentView, visitor: Visitor, form_event_json: object
) -> None:
    """Call a tool with the arguments that the visitor has entered in the tool's form."""
    name, values = parse_form_event(form_event_json)
    tool = find_tools_not_covered_by_report_editor(environment_view, visitor).get(name)
    visitor.call_tool(
        name, convert_filled_fields_to_arguments(tool.parameters, values) if tool else values
    )


def _require_open_report_editor(
    environment_view: EnvironmentView, visitor: Visitor
) -> ReportEditor:
    """Return the report editor of the running episode.

    Raises:
        InvalidValueError: the environment has no report editor, or no episode is running.
    """
    report = environment_view.report_editor(visitor)
    if report is None or not visitor.has_episode or visitor.is_done:
        raise InvalidValueError("report", "closed", "a report of a running episode")
    return report


def _add_suggested_row(
    environment_view: EnvironmentView, visitor: Visitor, row_index: object
) -> None:
    offers = _require_open_report_editor(environment_view, visitor).suggested_rows()
    at = int(str(row_index)) if str(row_index).isdecimal() else len(offers)
    if at < len(offers) and offers[at] not in visitor.report_rows:
        visitor.report_rows = [*visitor.report_rows, dict(offers[at])]


def _apply_report_edit_and_fill_row(
    environment_view: EnvironmentView, visitor: Visitor, change_json: object
) -> None:
    """Change a cell of the report, or add or delete a row."""
    report = _require_open_report_editor(environment_view, visitor)
    visitor.report_rows, at = apply_row_edit_if_valid(
        visitor.report_rows, report.columns, change_json
    )
    if 0 <= at < len(visitor.report_rows):
        row = report.fill_row_from_known_values(visitor.report_rows[at])
        visitor.report_rows = [*visitor.report_rows[:at], row, *visitor.report_rows[at + 1 :]]


def _format_first_two_report_problems(report: ReportEditor) -> str:
    """Return the first two problems of the report's rows as text, or an empty string."""
    wrong = [
        f"Row {number}: {problem}."
        for number, row in enumerate(report.visitor.report_rows, start=1)
        if (problem := report.explain_why_row_cannot_be_submitted(row))
    ]
    return " ".join(wrong[:2])


def _submit_report_or_ask_if_faulty(
    environment_view: EnvironmentView, visitor: Visitor, _: object
) -> None:
    """Submit the report. If it is empty or has problems, request confirmation first."""
    report = _require_open_report_editor(environment_view, visitor)

    def submit(who: Visitor) -> None:
        who.take_step(report.build_submit_action(who.report_rows))

    if not visitor.report_rows:
        text = "The report is empty: it says that nothing was wrong, and ends the episode."
        raise ConfirmationRequired(text, "Submit the empty report", submit)
    if bad := _format_first_two_report_problems(report):
        raise ConfirmationRequired(
            f"{bad} Like this it is refused, or loses points.", "Submit anyway", submit
        )
    submit(visitor)
