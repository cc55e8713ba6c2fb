"""The last call of a visitor as programs make it: in Python, with curl, over MCP."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from html import escape
from typing import Any

from pydantic_core import to_jsonable_python

from openenv_kit.environment import Environment

ORIGIN = "http://127.0.0.1:8000"
"""Stands for the server's address; the page puts its own there (`data-origin`)."""


def same_call_html(
    environment: Environment, reset: Mapping[str, Any], action: Mapping[str, Any] | None
) -> str:
    """A fold with the three ways; empty where nothing was called.

    Args:
        environment: what is played.
        reset: arguments of the episode's reset.
        action: as it was sent.
    """
    if action is None:
        return ""
    ways = {
        "Python": in_python(environment, reset, action),
        "curl": with_curl(reset, action),
        "MCP": over_mcp(environment, action),
    }
    blocks = "".join(
        f'<h3>{name}</h3><pre tabindex="0" role="region" aria-label="{name}" '
        f'data-origin="{ORIGIN}">{escape(code)}</pre>'
        for name, code in ways.items()
        if code
    )
    return (
        '<details class="mt-code"><summary>The same call in Python, with curl, over MCP</summary>'
        f"{blocks}</details>"
    )


def in_python(environment: Environment, reset: Mapping[str, Any], action: Mapping[str, Any]) -> str:
    """A program with the environment's own client; empty where it has none."""
    model = getattr(environment.models, "action", None)
    if model is None:
        return ""
    package = model.__module__.partition(".")[0]
    client = model.__name__.removesuffix("Action") + "Env"
    if not hasattr(sys.modules.get(package), client):
        return ""
    return (
        f"from {package} import {client}, {model.__name__}\n\n"
        f'with {client}(base_url="{ORIGIN}").sync() as env:\n'
        f"    env.reset({_keywords(reset)})\n"
        f"    result = env.step({model.__name__}({_keywords(action)}))\n"
        "    print(result.observation.message)"
    )


def _keywords(arguments: Mapping[str, Any]) -> str:
    plain: dict[str, Any] = to_jsonable_python(dict(arguments))
    return ", ".join(f"{name}={value!r}" for name, value in plain.items())


def with_curl(reset: Mapping[str, Any], action: Mapping[str, Any]) -> str:
    """Two requests over plain HTTP, in an episode with a name of one's own."""
    named = {"episode_id": "mine"}
    header = "-H 'content-type: application/json'"
    return (
        f"curl -s {ORIGIN}/reset {header} \\\n  -d {_quoted({**named, **reset})}\n"
        f"curl -s {ORIGIN}/step {header} \\\n  -d {_quoted({**named, 'action': action})}"
    )


def _quoted(value: Mapping[str, Any]) -> str:
    """JSON as one word of a shell."""
    text = json.dumps(to_jsonable_python(dict(value)), ensure_ascii=False)
    return "'" + text.replace("'", "'\\''") + "'"


def over_mcp(environment: Environment, action: Mapping[str, Any]) -> str:
    """The message that calls the tool, in a session that plays the episode named above."""
    try:
        name, arguments = environment.tools.called(action)
    except (TypeError, ValueError, AttributeError, LookupError):
        return "This step is not a call of a tool."
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": name, "arguments": to_jsonable_python(arguments)},
    }
    return f"POST {ORIGIN}/mcp?episode_id=mine\n{json.dumps(call, ensure_ascii=False)}"
