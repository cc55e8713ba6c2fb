"""Renders the transcript of a rollout. Text from models is escaped, never interpreted as HTML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from openenv_kit.page.conversation import CallEntry, StepConversation, TextEntry
from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.failure_summary import shorten_reason
from openenv_kit.page.rollout import OpenedRollout
from openenv_kit.reply import ReplyStatus

MAX_TEXT_CHARACTERS = 20_000
"""Maximum number of characters of one message on the page."""
MAX_ARGUMENT_CHARACTERS = 2_000
ROLE_TITLES = {"system": "System prompt", "user": "Message to the player", "assistant": "Player"}


def transcript_html(rollout: OpenedRollout, view: EnvironmentView) -> str:
    """Return the list of steps with their messages, their calls and summaries of the replies."""
    last = rollout.step_count
    items = ""
    for number, conversation in enumerate(rollout.conversations):
        if number <= last:
            items += _step_html(rollout, view, number, conversation)
        elif conversation.entries:
            items += f'<li class="after">{_entries_html(conversation.entries)}</li>'
    return f'<ol class="mt-talk" aria-label="Transcript">{items}</ol>'


def _step_html(
    rollout: OpenedRollout, view: EnvironmentView, number: int, conversation: StepConversation
) -> str:
    """Return one step: its number, the messages before its call, the call and a reply summary."""
    if number == 0:
        text = _entries_html(conversation.entries) or "<p>The episode starts.</p>"
        return f'<li data-step="0"><div class="at">start</div><div>{text}</div></li>'
    step = rollout.run.steps[number - 1]
    is_error = step.status == ReplyStatus.ERROR
    has_rejected_call = bool(conversation.rejected_calls)
    html = _entries_html([e for e in conversation.entries if not _is_executed(e)])
    call = conversation.executed_call
    html += _call_html(view.format_action_for_display(step.action), is_rejected=is_error)
    finding = _finding_text(rollout, view, number, call)
    if finding:
        html += f'<p class="{"bad" if is_error else "got"}">{escape(finding)}</p>'
    if step.done:
        html += f'<p class="end">End of the episode, reward {step.reward:.2f}</p>'
    css = "error" if is_error or has_rejected_call else ""
    return (
        f'<li data-step="{number}" class="{css}"><div class="at"><a href="#" class="mt-step" '
        f'data-step="{number}" aria-label="Step {number}">{number}</a></div><div>{html}</div></li>'
    )


def _finding_text(
    rollout: OpenedRollout, view: EnvironmentView, number: int, call: CallEntry | None
) -> str:
    """Return a short description of the reply to a step."""
    if number < len(rollout.steps):
        return view.finding_text(rollout.steps[number].observation)
    if call is None or call.result is None:
        return ""
    try:
        value = json.loads(call.result)
    except (ValueError, RecursionError):
        return call.result[:200]
    message = value.get("message") if isinstance(value, dict) else ""
    return str(message or call.result[:200])


def _is_executed(entry: TextEntry | CallEntry) -> bool:
    return isinstance(entry, CallEntry) and entry.is_executed


def _entries_html(entries: Sequence[TextEntry | CallEntry]) -> str:
    return "".join(
        _text_html(entry) if isinstance(entry, TextEntry) else _unexecuted_call_html(entry)
        for entry in entries
    )


def _text_html(entry: TextEntry) -> str:
    html = ""
    if entry.reasoning:
        html += _folded_html("Reasoning", entry.reasoning)
    if not entry.text:
        return html
    if entry.role == "assistant":
        return html + f'<blockquote class="said">{_shown_text_html(entry.text)}</blockquote>'
    return html + _folded_html(ROLE_TITLES.get(entry.role, entry.role), entry.text)


def _unexecuted_call_html(call: CallEntry) -> str:
    html = _call_html(f"{call.name}({call.arguments})", is_rejected=True)
    if call.result is None:
        return html
    try:
        value = json.loads(call.result)
        reason = str(value.get("message")) if isinstance(value, dict) else call.result
    except (ValueError, RecursionError):
        reason = call.result
    return html + f'<p class="bad">Not executed: {escape(shorten_reason(reason))}</p>'


def _call_html(call_text: str, *, is_rejected: bool) -> str:
    more = len(call_text) - MAX_ARGUMENT_CHARACTERS
    if more > 0:
        call_text = f"{call_text[:MAX_ARGUMENT_CHARACTERS]}… {more:,} more characters"
    css = "call rejected" if is_rejected else "call"
    return f'<code class="{css}">{escape(call_text)}</code>'


def _folded_html(title: str, text: str) -> str:
    return (
        f"<details><summary>{escape(title)} <small>{len(text):,} characters</small></summary>"
        f"<blockquote>{_shown_text_html(text)}</blockquote></details>"
    )


def _shown_text_html(text: str) -> str:
    more = len(text) - MAX_TEXT_CHARACTERS
    shown = text if more <= 0 else f"{text[:MAX_TEXT_CHARACTERS]}\n… {more:,} more characters"
    return escape(shown)
