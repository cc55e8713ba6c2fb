"""Summarizes why a rollout got its score: how it ended, rejected calls, outcomes of rows."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.rollout import OpenedRollout
from openenv_kit.page.row_outcomes import RowOutcome
from openenv_kit.recordings.format import RolloutOutcome
from openenv_kit.reply import ReplyStatus

MAX_REASON_CHARACTERS = 110
_FIRST_SENTENCE = re.compile(r"^(.*?[.;])(?:\s|$)", re.DOTALL)


@dataclass(frozen=True)
class RejectedCalls:
    """Tool calls that were rejected for the same reason.

    Attributes:
        reason: the reason, shortened.
        steps: numbers of the steps with these calls.
    """

    reason: str
    steps: Sequence[int]


@dataclass(frozen=True)
class FailureSummary:
    """Summary of why a rollout got its score.

    Attributes:
        ending: how the rollout ended, in one sentence.
        ending_step: number of the last step.
        score_text: message of the last reply, which contains the score; empty if the rollout was
            not graded.
        call_count: number of tool calls.
        rejected: rejected calls by reason, starting with the most frequent reason.
        rows: outcome of each expected or reported row; empty if the outcomes are not known.
    """

    ending: str
    ending_step: int
    score_text: str
    call_count: int
    rejected: Sequence[RejectedCalls]
    rows: Sequence[RowOutcome]

    @property
    def rejected_count(self) -> int:
        """Number of rejected calls."""
        return sum(len(group.steps) for group in self.rejected)


def summarize_failure(rollout: OpenedRollout, view: EnvironmentView) -> FailureSummary:
    """Summarize how a rollout ended, which calls were rejected, and the outcome of each row."""
    rejected_in_messages = sum(len(each.rejected_calls) for each in rollout.conversations)
    return FailureSummary(
        ending=_describe_ending(rollout),
        ending_step=rollout.step_count,
        score_text=_get_score_text(rollout),
        call_count=rollout.step_count + rejected_in_messages,
        rejected=_group_rejected_calls(rollout),
        rows=view.row_outcomes(rollout.steps, rollout.run.reset) if rollout.steps else (),
    )


def failure_summary_html(summary: FailureSummary) -> str:
    """Return the summary as a list with links to the steps."""
    ending = escape(summary.ending).replace(
        f"step {summary.ending_step}", _step_link_html(summary.ending_step), 1
    )
    items = [f'<li class="end">{ending}</li>']
    if summary.score_text:
        items.append(f"<li>{escape(summary.score_text)}</li>")
    if summary.rejected:
        reasons = "".join(
            f"<li>{escape(group.reason)} {' '.join(map(_step_link_html, group.steps))}</li>"
            for group in summary.rejected
        )
        items.append(
            f'<li class="bad"><b>{summary.rejected_count} of {summary.call_count} calls '
            f"rejected</b><ul>{reasons}</ul></li>"
        )
    else:
        items.append(f'<li class="good">None of {summary.call_count} calls was rejected.</li>')
    items += [_row_html(row) for row in summary.rows]
    return f'<ul class="mt-why" aria-label="Why this score">{"".join(items)}</ul>'


def _describe_ending(rollout: OpenedRollout) -> str:
    run, last_step = rollout.run, rollout.step_count
    steps = f"{last_step} step{'' if last_step == 1 else 's'}"
    if run.outcome == RolloutOutcome.FAILED or (run.has_end and run.score is None):
        return f"Failed after {steps}, so there is no score: {run.error or 'no reason recorded'}"
    if not run.has_end:
        return f"The recording is incomplete: {steps} so far."
    is_done = bool(run.steps) and run.steps[-1].done
    if run.outcome == RolloutOutcome.COMPLETED or (not run.outcome and is_done):
        return f"The episode ended at step {last_step}."
    reason = run.error or (_message_of_step(rollout, last_step) if is_done else "")
    reason = reason.removeprefix("No report was submitted").lstrip(":. ")
    return f"No report: stopped after step {last_step}. {reason[:1].upper()}{reason[1:]}".strip()


def _get_score_text(rollout: OpenedRollout) -> str:
    is_done = bool(rollout.run.steps) and rollout.run.steps[-1].done
    if not is_done or rollout.run.outcome == RolloutOutcome.NO_REPORT:
        return ""
    return _message_of_step(rollout, rollout.step_count)


def _group_rejected_calls(rollout: OpenedRollout) -> list[RejectedCalls]:
    steps_by_reason: defaultdict[str, list[int]] = defaultdict(list)
    for number, conversation in enumerate(rollout.conversations):
        for call in conversation.rejected_calls:
            reason = shorten_reason(_read_message(call.result))
            steps_by_reason[reason].append(min(number, rollout.step_count))
        if 0 < number <= rollout.step_count:
            step = rollout.run.steps[number - 1]
            if step.status == ReplyStatus.ERROR:
                reason = shorten_reason(_message_of_step(rollout, number))
                steps_by_reason[reason].append(number)
    groups = [RejectedCalls(reason, steps) for reason, steps in steps_by_reason.items()]
    return sorted(groups, key=lambda group: -len(group.steps))


def shorten_reason(message: str) -> str:
    """Return the first sentence of an error message, without the list of allowed values."""
    sentence = _FIRST_SENTENCE.match(message)
    text = (sentence[1] if sentence else message).rstrip(";:. ")
    if len(text) > MAX_REASON_CHARACTERS:
        text = text[: MAX_REASON_CHARACTERS - 1] + "…"
    return text or "No reason is recorded"


def _message_of_step(rollout: OpenedRollout, number: int) -> str:
    """Return the message in the reply to a step, from the replay or otherwise the recording."""
    if number < len(rollout.steps):
        return str(rollout.steps[number].observation.get("message") or "")
    call = rollout.conversations[number].executed_call
    return _read_message(call.result if call else None)


def _read_message(result: str | None) -> str:
    try:
        value = json.loads(result or "")
    except (ValueError, RecursionError):
        return result or ""
    return str(value.get("message") or "") if isinstance(value, dict) else ""


def _row_html(row: RowOutcome) -> str:
    kind = "good" if row.is_good else "bad"
    link = "" if row.step is None else _step_link_html(row.step)
    sentence = f" <span>{escape(row.sentence)}</span>" if row.sentence else ""
    text = f"{escape(row.title)}: <b>{escape(row.outcome)}</b>.{sentence}"
    sign = f' data-sign="{escape(row.sign)}"' if row.sign else ""
    return f'<li class="{kind}"{sign}>{text} {link}</li>'


def _step_link_html(step: int) -> str:
    return f'<a href="#" class="mt-step" data-step="{step}">step {step}</a>'
