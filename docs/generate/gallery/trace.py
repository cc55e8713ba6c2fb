"""The reference's play of an episode: its calls, what each was answered, and its recording.

Replies are long, so they are shortened; whatever is left out is told, with how much there was.
"""

from __future__ import annotations

import io
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from openenv_kit.environment import Environment, full_observation_from_reply
from openenv_kit.json_text import compact_json
from openenv_kit.recordings.format import RunRecorder
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import iter_policy_steps

REFERENCE = "reference"
MOST = 14
"""Most calls of a trace that are shown one by one; of a longer one some are."""
FIRST, ABOUT, LAST = 4, 5, 2
"""Calls of a longer trace that are shown: its first ones, those about its subject, its last."""
LONGEST, LINE = 300, 96
"""Characters of the longest reply, once it was shortened item by item, and of a line."""
ITEMS, TEXT, DEPTH = 5, 70, 3
"""Items of a list or an object, characters of a text, and levels, of which no more are shown."""


@dataclass(frozen=True)
class Call:
    """A call and its answer.

    Attributes:
        name, arguments: of the tool.
        answer: what of the answer is worth showing.
        size: characters of the whole answer as JSON.
    """

    name: str
    arguments: Mapping[str, Any]
    answer: object
    size: int


@dataclass(frozen=True)
class Trace:
    """A play.

    Attributes:
        calls: in order.
        score: in [0, 1].
        recording: the play as a recorded run.
    """

    calls: Sequence[Call]
    score: float
    recording: str


def play(
    environment: Environment,
    reset: Mapping[str, Any],
    shown: Callable[[Mapping[str, Any]], object],
) -> Trace:
    """The reference's play of an episode; `shown` chooses what of an answer is shown."""
    session, stream, calls = environment.create_session(), io.StringIO(), []
    reply = session.reset(**reset)
    player = f"scripted:{REFERENCE}"
    recorder = RunRecorder(stream, player, reset, observation_from_reply(reply), environment)
    for action, answered in iter_policy_steps(session, environment.policies[REFERENCE], reply):
        reply = answered
        recorder.record_step(action, observation_from_reply(reply))
        answer = environment.tools.format_tool_result(
            full_observation_from_reply(environment, reply, session.task_id)
        )
        name, arguments = environment.tools.tool_call_of_action(action)
        calls.append(Call(name, arguments, shown(answer), len(compact_json(answer))))
    score = reply.reward or 0.0
    recorder.record_end(score)
    return Trace(calls, score, stream.getvalue())


def trace_text(trace: Trace, concerns: Callable[[Mapping[str, Any]], bool]) -> str:
    """The calls of a play as text: a repeated call is one line, and what is left out is named."""
    runs = [list(each) for _, each in groupby(enumerate(trace.calls, start=1), key=_same)]
    kept = set(_kept([run[0][1] for run in runs], concerns))
    lines: list[str] = []
    for is_kept, part in groupby(enumerate(runs), key=lambda each: each[0] in kept):
        if is_kept:
            lines += [_line(run) for _, run in part]
            continue
        left_out = Counter(call.name for _, run in part for _, call in run)
        named = ", ".join(f"{count} × {name}" for name, count in left_out.items())
        lines.append(f"… {_counted(left_out.total(), 'call')} left out: {named}")
    return "\n".join(lines)


def _same(numbered: tuple[int, Call]) -> str:
    """What calls in a row have in common that are told as one."""
    return compact_json([numbered[1].name, numbered[1].arguments])


def _kept(calls: Sequence[Call], concerns: Callable[[Mapping[str, Any]], bool]) -> Iterator[int]:
    """Places of the calls that are shown."""
    if len(calls) <= MOST:
        yield from range(len(calls))
        return
    yield from range(FIRST)
    inside = range(FIRST, len(calls) - LAST)
    yield from [place for place in inside if concerns(calls[place].arguments)][:ABOUT]
    yield from range(len(calls) - LAST, len(calls))


def _line(run: Sequence[tuple[int, Call]]) -> str:
    """A call with the last of its answers, or several equal ones."""
    (first, call), (last, newest) = run[0], run[-1]
    number = f"{first}" if first == last else f"{first}–{last}"
    given = ", ".join(f"{name}={_given(value)}" for name, value in call.arguments.items())
    reply = newest.answer if isinstance(newest.answer, str) else shortened(newest.answer)
    line = cut(" ".join(reply.split()), LONGEST)
    whole = f" [{newest.size:,} characters in all]" if "…" in line else ""
    asked = f"{call.name}({given})"
    return f"{_wrapped(f'{number:>5}  ', asked)}\n{_wrapped('       → ', line + whole)}"


def _given(value: object) -> str:
    """An argument; a long text keeps its end, where queries that begin alike differ."""
    text = " ".join(value.split()) if isinstance(value, str) else shortened(value)
    return text if len(text) <= LONGEST else f"{text[:TEXT]} … {text[TEXT - LONGEST + 3 :]}"


def _wrapped(start: str, text: str) -> str:
    """A text in lines; those after the first are indented."""
    indent = " " * (len(start) + 2)
    return textwrap.fill(text, LINE, initial_indent=start, subsequent_indent=indent)


def shortened(value: object, depth: int = DEPTH) -> str:
    """A value as text, with the first items of what has many."""
    if isinstance(value, Mapping):
        if depth == 0 and value:
            return f"{{… {_counted(len(value), 'field')}}}"
        parts = [f"{name}: {shortened(each, depth - 1)}" for name, each in value.items()]
        return f"{{{_first(parts)}}}"
    if isinstance(value, list | tuple):
        if depth == 0 and value:
            return f"[… {_counted(len(value), 'item')}]"
        return f"[{_first([shortened(each, depth - 1) for each in value])}]"
    if isinstance(value, str):
        return cut(" ".join(value.split()), TEXT)
    return compact_json(value)


def _first(parts: Sequence[str]) -> str:
    """The first of some parts, and how many more there are."""
    more = [f"… {len(parts) - ITEMS} more"] if len(parts) > ITEMS else []
    return ", ".join([*parts[:ITEMS], *more])


def cut(text: str, most: int) -> str:
    """A text of at most so many characters, the last of which says where it was cut off."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
