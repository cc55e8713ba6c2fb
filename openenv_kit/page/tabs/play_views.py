"""Builds the HTML of the Play tab, from the progress bar to the list of steps (evidence)."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from openenv_kit.page.components.elements import (
    button_html,
    collapsed_truncated_json_html,
    hint_html,
    humanize,
    message_box_html,
)
from openenv_kit.page.components.playback_html import episode_result_html_if_finished
from openenv_kit.page.components.row_editor import row_editor_html
from openenv_kit.page.components.tool_form import tool_search_and_form_html
from openenv_kit.page.components.tool_result import tool_result_html
from openenv_kit.page.environment_view import (
    EnvironmentView,
    QuestionPanel,
    ReportEditor,
    tool_result_from_observation,
)
from openenv_kit.page.episode_title import format_title_of_reset, format_title_of_running_episode
from openenv_kit.page.page_address import choose_next_reset, choose_reset_of_same_level
from openenv_kit.page.tabs.start_form import opening_calls_button_html
from openenv_kit.page.visitor import Visitor
from openenv_kit.reply import ReplyStatus
from openenv_kit.tool import Tool

EDIT_ROWS_EVENT = "edit_rows"


def status_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the bar with the task, the progress, the suggestion button and the submit button.

    After the end of the episode, the buttons save the rollout and start the next episode.
    """
    if not visitor.has_episode:
        return ""
    most = int(visitor.episode_state.get("max_steps") or 0)
    share = min(100 * visitor.step_count / (most or 1), 100)
    opening = visitor.playback_steps[0].observation
    facts = [f"{visitor.step_count} of {most} steps"]
    if count := environment_view.anomaly_count_text(opening):
        facts.append(count)
    name = format_title_of_running_episode(visitor)
    seed = visitor.reset.get("seed")
    if seed is not None:
        name += f" · seed {seed}"
    debug = '<em class="mt-badge">debug</em>' if opening.get("debug") else ""
    return (
        f'<div class="mt-status"><p class="mt-task"><b>{escape(name)}</b>{debug}'
        f'<span class="mt-budget"><i aria-hidden="true"><b style="width:{share:.0f}%"></b></i>'
        f"{escape(' · '.join(facts))}</span></p>"
        f'<div class="mt-buttons">{_status_buttons_html(environment_view, visitor)}</div></div>'
    )


def _status_buttons_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    if visitor.is_done:
        # A recording of the visitor's own table would contain its numbers.
        save = "" if visitor.is_private else button_html("save_play", "", "Save this rollout")
        title = humanize(format_title_of_reset(choose_next_reset(environment_view, visitor)))
        again = ""
        if choose_reset_of_same_level(visitor) is not None:
            labels = environment_view.environment.build_result_labels(visitor.reset)
            words = ("Another", humanize(labels.get("level", "")), "episode")
            again = button_html("another_episode", "", " ".join(filter(None, words)))
        next_button = button_html("next_episode", "", f"Next episode: {title}", css_class="primary")
        return save + again + next_button
    buttons = button_html("suggest", "", "Suggest a next step", focus_key="suggest")
    if environment_view.report_editor(visitor) is not None:
        label = f"Submit ({len(visitor.report_rows)})"
        hint = f"Submit the report with {len(visitor.report_rows)} rows"
        buttons += button_html("submit", "", label, css_class="primary", hint=hint)
    return buttons


def guide_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the confirmation dialog if there is one, otherwise the error and the suggestion."""
    if visitor.pending_confirmation is not None:
        return _confirmation_html(visitor)
    problem = ""
    if visitor.problem:
        problem = f'<p class="mt-error" role="alert">{escape(visitor.problem)}</p>'
    if not visitor.has_episode or visitor.is_done or not visitor.is_guided:
        return problem
    hint = environment_view.suggest_next_step(visitor)
    button = ""
    if hint.label:
        button = button_html(
            hint.event, hint.value, hint.label, css_class="accent", focus_key="follow"
        )
    close = button_html("stop_guide", "", "✕", hint="Hide suggestions", css_class="link close")
    return (
        f'{problem}<section class="mt-suggestion" aria-label="Suggestion"><p role="status">'
        f"{escape(hint.text)}</p>{hint.details_html}{button}{close}</section>"
    )


def _confirmation_html(visitor: Visitor) -> str:
    asked = visitor.pending_confirmation
    if asked is None:
        return ""
    return (
        f'<dialog class="mt-question" aria-label="{escape(asked.text)}"><p>{escape(asked.text)}</p>'
        f'<div class="mt-buttons">{button_html("no", "", "Go back")}'
        f"{button_html('yes', '', asked.button_label, css_class='primary')}</div></dialog>"
    )


def saved_state_html(address_json: str, visitor: Visitor) -> str:
    """Return the hidden element with the episode and the URL that the page's script saves."""
    kept = visitor.to_saved_json()
    return (
        f'<div class="mt-saved" hidden data-kept="{escape(kept)}" '
        f'data-private="{"yes" if visitor.is_private else ""}" '
        f'data-address="{escape(address_json)}" data-place="{escape(visitor.selection)}"></div>'
    )


def result_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the result of a finished episode."""
    return episode_result_html_if_finished(environment_view, visitor.playback_steps, visitor.reset)


def charts_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the overview of the visitor's episode, with the button for the opening calls."""
    if not visitor.has_episode:
        return ""
    overview = environment_view.overview_html(
        visitor.playback_steps, visitor.reset, visitor.selection, visitor.report_rows
    )
    return opening_calls_button_html(environment_view, visitor) + overview


def details_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the details that the environment shows below its overview."""
    return environment_view.details_html(visitor) if visitor.has_episode else ""


def question_panel_html(panel: QuestionPanel | None) -> str:
    """Return the selected item with suggested calls; empty if there is no panel."""
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
    return (
        f'<section class="mt-panel mt-asking" aria-label="Selection">'
        f'<div role="status"><h2>{escape(panel.title)}</h2></div>{panel.known_html}{groups}'
        "</section>"
    )


def selection_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the panel of the selected item."""
    if not visitor.has_episode:
        return ""
    return question_panel_html(environment_view.question_panel(visitor))


def report_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the report editor; empty after the end of the episode."""
    report = environment_view.report_editor(visitor)
    if not visitor.has_episode or visitor.is_done or report is None:
        return ""
    rows = row_editor_html(EDIT_ROWS_EVENT, report, visitor.report_rows)
    empty = "" if visitor.report_rows else hint_html("No rows yet.")
    preview = ""
    if visitor.report_rows and _has_tool(environment_view, visitor, environment_view.preview_tool):
        preview = button_html(
            "preview", "", "Preview (1 step)", hint="Check the format of the rows (costs 1 step)"
        )
    return (
        f'<section class="mt-panel mt-report" aria-label="Report"><h2>Report</h2>'
        f"{empty}{rows}{preview}</section>"
    )


def suggested_rows_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the report rows in the last reply, each with a button that adds it to the report."""
    lines, report = "", environment_view.report_editor(visitor)
    for at, row in enumerate(report.suggested_rows() if report else ()):
        text = report.format_suggested_row(row) if report else ""
        add = '<span class="mt-in">in the report</span>'
        if row not in visitor.report_rows:
            name = f"Add to report: {text}"
            add = button_html("add_row", at, "Add to report", hint=name, focus_key=f"add {at}")
        lines += f"<li><span>{escape(text)}</span>{add}</li>"
    return f'<ul class="mt-offers">{lines}</ul>' if lines else ""


def tools_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the tools of a running episode, with the form of the selected tool."""
    if not visitor.has_episode or visitor.is_done:
        return ""
    panel = environment_view.question_panel(visitor)
    suggested = panel.suggested_values if panel else {}
    values: dict[str, Any] = {name: some[0] for name, some in suggested.items() if some}
    if visitor.report_rows:
        values["rows"] = visitor.report_rows
    # The error is shown next to the form of the rejected call.
    last = visitor.playback_steps[-1]
    is_own_error = bool(visitor.problem) and visitor.selected_tool in str(last.action)
    body = tool_search_and_form_html(
        list_tools_with_form(environment_view, visitor),
        environment_view.tool_groups,
        visitor.selected_tool,
        values,
        suggested,
        visitor.problem if is_own_error else "",
        environment_view.tool_titles,
    )
    return f'<section class="mt-panel" id="mt-tools"><h2>Tools</h2>{body}</section>'


def list_tools_with_form(environment_view: EnvironmentView, visitor: Visitor) -> list[Tool]:
    """Return the tools of the visitor's episode that have a form.

    If the environment has a report editor, only read-only tools have a form.
    """
    has_report_editor = environment_view.report_editor(visitor) is not None
    opening = visitor.playback_steps[0].observation if visitor.has_episode else None
    tools = environment_view.environment.tools.select_for_episode(opening).tools
    return [tool for tool in tools if tool.is_read_only or not has_report_editor]


def _has_tool(environment_view: EnvironmentView, visitor: Visitor, name: str) -> bool:
    return any(tool.name == name for tool in list_tools_with_form(environment_view, visitor))


def evidence_html(environment_view: EnvironmentView, visitor: Visitor) -> str:
    """Return the list of steps with their findings, and the reply to the selected step."""
    if not visitor.step_count:
        return ""
    shown = visitor.step_count if visitor.shown_step is None else visitor.shown_step
    shown = min(max(shown, 1), visitor.step_count)
    lines = "".join(
        _evidence_row_html(environment_view, visitor, index, is_shown=index == shown)
        for index in range(1, visitor.step_count + 1)
    )
    return (
        '<section class="mt-panel mt-evidence" aria-label="Evidence"><h2>Evidence</h2>'
        f'<div class="mt-evidence-steps"><ol>{lines}</ol>'
        f"<div>{_reply_html(environment_view, visitor, shown)}</div></div></section>"
    )


def _evidence_row_html(
    environment_view: EnvironmentView, visitor: Visitor, index: int, *, is_shown: bool
) -> str:
    step = visitor.playback_steps[index]
    call = environment_view.format_action_for_display(step.action)
    css_class = "now" if is_shown else ""
    if step.observation.get("status") == ReplyStatus.ERROR:
        css_class += " error"
    current = ' aria-current="step"' if is_shown else ""
    button = button_html("show_step", index, call[:120], css_class="link", focus_key=f"e{index}")
    finding = escape(environment_view.finding_text(step.observation)[:120])
    return (
        f'<li class="{css_class}"{current}><i>{index}</i><span>{button}<small>{finding}</small>'
        "</span></li>"
    )


def _reply_html(environment_view: EnvironmentView, visitor: Visitor, index: int) -> str:
    observation = visitor.playback_steps[index].observation
    html = environment_view.reply_html_without_status_and_message(observation) or message_box_html(
        str(observation.get("message") or "")
    )
    offers = ""
    if index == visitor.step_count and not visitor.is_done:
        offers = suggested_rows_html(environment_view, visitor)
    tool_result = tool_result_from_observation(environment_view.environment, observation)
    return (
        f'<div class="mt-reply" tabindex="0" role="region" aria-label="Reply of step {index}">'
        f"<h3>Reply of step {index}</h3>{offers}{html}</div>"
        f"{collapsed_truncated_json_html(tool_result)}"
    )


def debug_html(_: EnvironmentView, visitor: Visitor) -> str:
    """Return the correct answers, which the reset observation contains only in debug mode."""
    fields = visitor.playback_steps[0].observation.get("debug") if visitor.has_episode else None
    if not fields:
        return ""
    return (
        '<details class="mt-panel mt-debug" data-keep="debug"><summary>Debug: expected rows and '
        f"anomaly schedule</summary>{tool_result_html(fields)}</details>"
    )


def format_first_two_report_problems(report: ReportEditor) -> str:
    """Return the first two problems of the report's rows as text, or an empty string."""
    wrong = [
        f"Row {number}: {problem}."
        for number, row in enumerate(report.visitor.report_rows, start=1)
        if (problem := report.explain_why_row_cannot_be_submitted(row))
    ]
    return " ".join(wrong[:2])
