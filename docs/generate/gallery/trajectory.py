"""The reference policy's trajectory of an episode: its calls, their results, and its recording.

Results are long, so they are shortened, and the text states how much was left out.
"""

from __future__ import annotations

import io
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from openenv_kit.environment import Environment, full_observation_from_reply
from openenv_kit.json_text import compact_json
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import iter_policy_steps

REFERENCE_POLICY = "reference"
MAX_CALLS = 14
"""Maximum number of calls that are all shown. Of a longer trajectory only some are shown."""
FIRST_CALLS, RELEVANT_CALLS, LAST_CALLS = 4, 5, 2
"""Numbers of calls shown of a longer trajectory: at its start, about the anomaly, at its end."""
MAX_LINE_CHARACTERS = 300
"""Maximum length of a shortened result or argument."""
WRAP_COLUMNS = 96
MAX_ITEMS = 5
"""Maximum number of shown items of a list or an object."""
MAX_TEXT_CHARACTERS = 70
MAX_DEPTH = 3
"""Maximum number of shown levels of nested values."""


@dataclass(frozen=True)
class CallAndResult:
    """A tool call and its result.

    Attributes:
        name: name of the tool.
        arguments: arguments of the call.
        result: the part of the result that is shown.
        result_characters: length of the whole result as JSON.
    """

    name: str
    arguments: Mapping[str, Any]
    result: object
    result_characters: int


@dataclass(frozen=True)
class Trajectory:
    """An episode of the reference policy.

    Attributes:
        calls: the calls, in order.
        score: in [0, 1].
        recording: the episode as a recorded run.
    """

    calls: Sequence[CallAndResult]
    score: float
    recording: str


class _NumberedCall(NamedTuple):
    number: int
    call: CallAndResult


def play_reference(
    environment: Environment,
    reset: Mapping[str, Any],
    relevant_result: Callable[[Mapping[str, Any]], object],
) -> Trajectory:
    """Play an episode with the reference policy.

    Args:
        environment: environment of the episode.
        reset: arguments of the reset.
        relevant_result: returns the part of a tool result that is shown.
    """
    session, stream, calls = environment.create_session(), io.StringIO(), []
    reply = session.reset(**reset)
    player = f"scripted:{REFERENCE_POLICY}"
    recorder = RunRecorder(stream, player, reset, observation_from_reply(reply), environment)
    policy = environment.policies[REFERENCE_POLICY]
    for action, step_reply in iter_policy_steps(session, policy, reply):
        reply = step_reply
        recorder.record_step(action, observation_from_reply(reply))
        result = environment.tools.format_tool_result(
            full_observation_from_reply(environment, reply, session.task_id)
        )
        name, arguments = environment.tools.tool_call_of_action(action)
        calls.append(
            CallAndResult(name, arguments, relevant_result(result), len(compact_json(result)))
        )
    score = reply.reward or 0.0
    recorder.record_end(score)
    return Trajectory(calls, score, stream.getvalue())


def format_trajectory(
    trajectory: Trajectory, is_relevant_call: Callable[[Mapping[str, Any]], bool]
) -> str:
    """Return the calls as text. Repeated calls are one entry, and omitted calls are counted."""
    numbered = [_NumberedCall(number, call) for number, call in enumerate(trajectory.calls, 1)]
    repetitions = [list(calls) for _, calls in groupby(numbered, key=_call_text)]
    shown_positions = _shown_positions([calls[0].call for calls in repetitions], is_relevant_call)
    lines: list[str] = []
    for is_shown, group in groupby(
        enumerate(repetitions), key=lambda item: item[0] in shown_positions
    ):
        if is_shown:
            lines += [_format_calls(calls) for _, calls in group]
            continue
        omitted = Counter(numbered_call.call.name for _, calls in group for numbered_call in calls)
        counts = ", ".join(f"{count} × {name}" for name, count in omitted.items())
        lines.append(f"… {_format_count(omitted.total(), 'call')} left out: {counts}")
    return "\n".join(lines)


def _call_text(numbered: _NumberedCall) -> str:
    return compact_json([numbered.call.name, numbered.call.arguments])


def _shown_positions(
    calls: Sequence[CallAndResult], is_relevant_call: Callable[[Mapping[str, Any]], bool]
) -> set[int]:
    if len(calls) <= MAX_CALLS:
        return set(range(len(calls)))
    middle = range(FIRST_CALLS, len(calls) - LAST_CALLS)
    relevant = [position for position in middle if is_relevant_call(calls[position].arguments)]
    return {
        *range(FIRST_CALLS),
        *relevant[:RELEVANT_CALLS],
        *range(len(calls) - LAST_CALLS, len(calls)),
    }


def _format_calls(equal_calls: Sequence[_NumberedCall]) -> str:
    """Return the text of one or several equal calls, with the last result."""
    first, last = equal_calls[0], equal_calls[-1]
    numbers = f"{first.number}" if first is last else f"{first.number}–{last.number}"
    arguments = ", ".join(
        f"{name}={_format_argument(value)}" for name, value in first.call.arguments.items()
    )
    result = last.call.result
    text = result if isinstance(result, str) else shorten_value(result)
    line = truncate(" ".join(text.split()), MAX_LINE_CHARACTERS)
    if "…" in line:
        line += f" [{last.call.result_characters:,} characters in all]"
    call = f"{first.call.name}({arguments})"
    return f"{_wrap(f'{numbers:>5}  ', call)}\n{_wrap('       → ', line)}"


def _format_argument(value: object) -> str:
    """Return an argument as text. A long text keeps its end, in which similar queries differ."""
    text = " ".join(value.split()) if isinstance(value, str) else shorten_value(value)
    if len(text) <= MAX_LINE_CHARACTERS:
        return text
    end_characters = MAX_LINE_CHARACTERS - MAX_TEXT_CHARACTERS - 3
    return f"{text[:MAX_TEXT_CHARACTERS]} … {text[-end_characters:]}"


def _wrap(prefix: str, text: str) -> str:
    indent = " " * (len(prefix) + 2)
    return textwrap.fill(text, WRAP_COLUMNS, initial_indent=prefix, subsequent_indent=indent)


def shorten_value(value: object, max_depth: int = MAX_DEPTH) -> str:
    """Return a JSON value as text, with the first items of each list and object."""
    if isinstance(value, Mapping):
        if max_depth == 0 and value:
            return f"{{… {_format_count(len(value), 'field')}}}"
        items = [f"{name}: {shorten_value(item, max_depth - 1)}" for name, item in value.items()]
        return f"{{{_join_first(items)}}}"
    if isinstance(value, list | tuple):
        if max_depth == 0 and value:
            return f"[… {_format_count(len(value), 'item')}]"
        return f"[{_join_first([shorten_value(item, max_depth - 1) for item in value])}]"
    if isinstance(value, str):
        return truncate(" ".join(value.split()), MAX_TEXT_CHARACTERS)
    return compact_json(value)


def _join_first(items: Sequence[str]) -> str:
    omitted = [f"… {len(items) - MAX_ITEMS} more"] if len(items) > MAX_ITEMS else []
    return ", ".join([*items[:MAX_ITEMS], *omitted])


def truncate(text: str, max_characters: int) -> str:
    """Return a text of at most `max_characters`, which ends with an ellipsis if it was cut."""
    return text if len(text) <= max_characters else f"{text[: max_characters - 1]}…"


def _format_count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
