"""Rules that every request of the agent keeps, whatever the model answered.

They are the strictest of those that endpoints document; `problems_of` is called by the tests' fake
endpoints for every request, so that the whole test suite checks them.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

Json = dict[str, Any]


def problems_of(request: Json) -> list[str]:
    """Return the rules that a request breaks."""
    messages = request["messages"]
    return [
        *_role_problems([message["role"] for message in messages]),
        *_tool_call_problems(messages),
        *_content_problems(messages),
        *_encoding_problems(request),
    ]


def _role_problems(roles: list[str]) -> list[str]:
    problems = [] if roles[:2] == ["system", "user"] else [f"it starts with {roles[:2]}"]
    allowed = {"user": {"assistant"}, "assistant": {"user", "tool"}, "tool": {"tool", "assistant"}}
    for number, (before, after) in enumerate(pairwise(roles[1:]), start=2):
        if after not in allowed.get(before, set()):
            problems.append(f"message {number}: {after} after {before}")
    if roles[-1] == "assistant":
        problems.append("it ends with an answer of the model")
    return problems


def _tool_call_problems(messages: list[Json]) -> list[str]:
    problems: list[str] = []
    known: set[str] = set()
    waiting: list[str] = []
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            if not waiting or message["tool_call_id"] != waiting.pop(0):
                problems.append(f"message {number}: a result of {message['tool_call_id']!r}")
            continue
        if waiting:
            problems.append(f"message {number}: no results of {waiting}")
        waiting = []
        if message.get("tool_calls") == []:
            problems.append(f"message {number}: an empty list of tool calls")
        for call in message.get("tool_calls") or []:
            if not isinstance(call["id"], str) or not call["id"] or call["id"] in known:
                problems.append(f"message {number}: id {call['id']!r} is empty or not unique")
            known.add(call["id"])
            waiting.append(call["id"])
            arguments = call["function"]["arguments"]
            if not isinstance(arguments, str) or not isinstance(json.loads(arguments), dict):
                problems.append(f"message {number}: arguments {arguments!r}")
            if call["type"] != "function" or not call["function"]["name"]:
                problems.append(f"message {number}: {call}")
    return problems


def _content_problems(messages: list[Json]) -> list[str]:
    problems = []
    for number, message in enumerate(messages):
        content = message["content"]
        may_be_null = bool(message.get("tool_calls"))
        is_empty = not (content.strip() if isinstance(content, str) else content)
        if is_empty and not (may_be_null and content is None):
            problems.append(f"message {number}: {message['role']} with content {content!r}")
    return problems


def _encoding_problems(request: Json) -> list[str]:
    try:
        json.dumps(request, ensure_ascii=False).encode()
        for message in request["messages"]:
            for call in message.get("tool_calls") or []:
                decoded = json.loads(call["function"]["arguments"])
                json.dumps(decoded, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        return [f"text that cannot be encoded: {problem}"]
    return []
