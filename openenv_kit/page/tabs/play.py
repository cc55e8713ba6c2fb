"""Play tab of the debugger: the first screen, then the visitor's episode.

For an episode, the tab shows its charts, the selected item, the report, the tools and the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gradio as gr

from openenv_kit.errors import InvalidValueError
from openenv_kit.page.begin_episode import begin_episode, make_opening_calls
from openenv_kit.page.components.elements import humanize
from openenv_kit.page.components.forms import (
    convert_filled_fields_to_arguments,
    parse_form_event,
)
from openenv_kit.page.components.playback_html import convert_playback_to_recording_jsonl
from openenv_kit.page.components.row_editor import apply_row_edit_if_valid
from openenv_kit.page.environment_view import EnvironmentView, ReportEditor
from openenv_kit.page.events import (
    FilenameAndText,
    Page,
    add_download,
    run_or_ask_before_ending_episode,
)
from openenv_kit.page.page_address import choose_next_reset, choose_reset_of_same_level
from openenv_kit.page.playback import Playback
from openenv_kit.page.tabs import play_views
from openenv_kit.page.tabs.start_form import (
    start_episode_from_form_or_ask,
    start_form_html,
    switch_opening_calls,
)
from openenv_kit.page.visitor import ConfirmationRequired, Visitor
from openenv_kit.reset_arguments import PRODUCT

VIEWS_OF_STEP = (
    *("saved", "status", "guide", "result", "picture", "below"),
    *("ask", "report", "tools", "evidence"),
)
"""Names of the views that are rendered after a step."""
VIEWS_OF_SELECTION = ("saved", "guide", "below", "ask", "tools")
"""Names of the views that are rendered after a selection in the overview.

The overview itself is not rendered again: the page's script moves the cursor.
"""
VIEWS_OF_REPORT = ("saved", "status", "guide", "ask", "report", "evidence")
"""Names of the views that are rendered after a change of the report."""


def build_play_tab(page: Page, first_screen: Callable[[EnvironmentView, Visitor], str]) -> None:
    """Build the Play tab and its event listeners. The style sheet hides empty views.

    Args:
        page: the page.
        first_screen: function that renders the first screen; called only if no episode was
            started.
    """
    page.add_html_view("first", lambda s, v: "" if v.has_episode else first_screen(s, v))
    page.add_html_view("start", start_form_html)
    page.add_html_view("status", play_views.status_html)
    page.add_html_view("guide", play_views.guide_html)
    page.add_html_view("result", play_views.result_html)
    with gr.Row(equal_height=False, elem_id="mt-room"):
        with gr.Column(elem_classes="mt-main", scale=5, min_width=300):
            page.add_html_view("picture", play_views.charts_html)
            page.add_html_view("below", play_views.details_html)
            page.add_html_view("evidence", play_views.evidence_html)
        with gr.Column(elem_classes="mt-side", scale=2, min_width=300):
            page.add_html_view("ask", play_views.selection_html)
            page.add_html_view("report", play_views.report_html)
            page.add_html_view("tools", play_views.tools_html, "mt-toolview")
            page.add_html_view("debug", play_views.debug_html)
    _add_events(page)


def _add_events(page: Page) -> None:
    view, bridge = page.environment_view, page.bridge
    every_click = {"trigger_mode": "multiple"}
    on = page.add_page_event_handler
    on(bridge.start, partial(start_episode_from_form_or_ask, view), page.views)
    on(bridge.next_episode, partial(start_next_episode_or_ask, view), page.views)
    on(bridge.another_episode, partial(start_same_level_or_ask, view), page.views)
    on(bridge.read_data, switch_opening_calls, ["saved"])
    on(bridge.make_opening_calls, partial(_make_opening_calls, view), VIEWS_OF_STEP)
    on(bridge.pick, _set_overview_selection, VIEWS_OF_SELECTION)
    on(bridge.suggest, partial(_set_guided, is_guided=True), ["guide"])
    on(bridge.stop_guide, partial(_set_guided, is_guided=False), ["guide"])
    on(bridge.choose_tool, _select_tool_form, ["tools"])
    on(bridge.show_step, _show_reply_of_step, ["evidence"])
    on(bridge.run, partial(_call_tool_from_form, view), VIEWS_OF_STEP, **every_click)
    ask = partial(_call_suggested_tool_or_ask_before_end, view)
    on(bridge.ask, ask, VIEWS_OF_STEP, **every_click)
    on(bridge.add_row, partial(_add_suggested_row, view), VIEWS_OF_REPORT, **every_click)
    on(bridge.draft, partial(_draft_row, view), VIEWS_OF_REPORT, **every_click)
    on(bridge.apply_report, partial(_apply_suggested_report, view), VIEWS_OF_REPORT)
    edit = partial(_apply_report_edit_and_fill_row, view)
    on(bridge.edit_rows, edit, VIEWS_OF_REPORT, **every_click)
    on(bridge.preview, partial(_preview_report, view), VIEWS_OF_STEP, **every_click)
    submit = partial(_submit_report_or_ask_if_faulty, view)
    on(bridge.submit, submit, VIEWS_OF_STEP, **every_click)
    add_download(bridge.save_play, page.state, _create_recording)


def start_next_episode_or_ask(
    environment_view: EnvironmentView, visitor: Visitor, _: object = None
) -> None:
    """Start an episode that the visitor has not seen, after confirmation if one is running."""
    reset = choose_next_reset(environment_view, visitor)
    # Only the client that started an episode of a product may send the product again.
    connect = visitor.episode_connect if PRODUCT.name in reset else None
    run_or_ask_before_ending_episode(
        visitor, "Another episode", lambda v: begin_episode(environment_view, v, reset, connect)
    )


def start_same_level_or_ask(
    environment_view: EnvironmentView, visitor: Visitor, _: object = None
) -> None:
    """Start the visitor's named task with another seed, after confirmation if one is running."""
    reset = choose_reset_of_same_level(visitor)
    if reset is None:
        return
    run_or_ask_before_ending_episode(
        visitor, "Another episode", lambda v: begin_episode(environment_view, v, reset)
    )


def _make_opening_calls(environment_view: EnvironmentView, visitor: Visitor, _: object) -> None:
    if visitor.has_episode and not visitor.step_count:
        make_opening_calls(environment_view, visitor)


def _set_overview_selection(visitor: Visitor, selection: object) -> None:
    if isinstance(selection, str) and len(selection) < 200:
        visitor.selection = selection


def _set_guided(visitor: Visitor, _: object, *, is_guided: bool) -> None:
    visitor.is_guided = is_guided and visitor.has_episode


def _select_tool_form(visitor: Visitor, tool: object) -> None:
    visitor.selected_tool = str(tool or "")[:80]


def _show_reply_of_step(visitor: Visitor, index: object) -> None:
    if str(index).isdecimal():
        visitor.shown_step = int(str(index)[:9])


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
    _call_tool_and_select(environment_view, visitor, name, arguments)


def _call_tool_and_select(
    environment_view: EnvironmentView, visitor: Visitor, tool: str, arguments: Mapping[str, Any]
) -> None:
    """Call a tool, then select the item that the call was about, such as its day."""
    visitor.call_tool(tool, arguments)
    if not visitor.problem:
        visitor.selection = environment_view.selection_after_call(visitor, arguments)


def _call_tool_from_form(
    environment_view: EnvironmentView, visitor: Visitor, form_event_json: object
) -> None:
    """Call a tool with the arguments that the visitor has entered in the tool's form."""
    name, values = parse_form_event(form_event_json)
    tools = play_views.list_tools_with_form(environment_view, visitor)
    tool = next((tool for tool in tools if tool.name == name), None)
    arguments = convert_filled_fields_to_arguments(tool.parameters, values) if tool else values
    _call_tool_and_select(environment_view, visitor, name, arguments)


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


def _draft_row(environment_view: EnvironmentView, visitor: Visitor, draft_key: object) -> None:
    """Add a draft row for an item of the page, unless the report already contains the row."""
    report = _require_open_report_editor(environment_view, visitor)
    row = report.build_draft_row(str(draft_key)[:200])
    if row is not None and row not in visitor.report_rows:
        visitor.report_rows = [*visitor.report_rows, row]


def _apply_suggested_report(environment_view: EnvironmentView, visitor: Visitor, _: object) -> None:
    """Replace the report with the suggested one; do nothing if a call is suggested instead."""
    _require_open_report_editor(environment_view, visitor)
    rows = environment_view.suggested_report(visitor)
    if rows is not None:
        visitor.report_rows = [dict(row) for row in rows]


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


def _preview_report(environment_view: EnvironmentView, visitor: Visitor, _: object) -> None:
    """Check the format of the report's rows with the environment's tool, as a step."""
    _require_open_report_editor(environment_view, visitor)
    visitor.call_tool(environment_view.preview_tool, {"rows": visitor.report_rows})


def _submit_report_or_ask_if_faulty(
    environment_view: EnvironmentView, visitor: Visitor, _: object
) -> None:
    """Submit the report. If it is empty or has problems, request confirmation first."""
    report = _require_open_report_editor(environment_view, visitor)

    def submit(who: Visitor) -> None:
        who.take_step(report.build_submit_action(who.report_rows))

    if not visitor.report_rows:
        text = (
            "The report is empty. Submitting it states that nothing was wrong, and ends the "
            "episode."
        )
        raise ConfirmationRequired(text, "Submit empty report", submit)
    if bad := play_views.format_first_two_report_problems(report):
        raise ConfirmationRequired(
            f"{bad} A report like this is refused, or loses points.", "Submit anyway", submit
        )
    submit(visitor)


def _create_recording(visitor: Visitor) -> FilenameAndText:
    """Return the visitor's episode as a recording to download.

    Raises:
        gr.Error: the visitor has no episode.
    """
    if not visitor.has_episode:
        raise gr.Error("No episode was started.", print_exception=False)
    if visitor.is_private:
        raise gr.Error("An episode of your own table is not recorded.", print_exception=False)
    playback = Playback("you", visitor.reset, visitor.environment, visitor.playback_steps)
    return [f"{playback.task_id}.jsonl", convert_playback_to_recording_jsonl(playback)]
