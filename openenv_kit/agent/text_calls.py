"""Finds tool calls that a model wrote as text, where the server has no parser for them."""

from __future__ import annotations

import re
from collections.abc import Collection

from openenv_kit.thinking import remove_thinking

CALL_MARKER_PATTERN = re.compile(
    r"<\|?[\w:]*tool_?calls?\w*\|?>"  # Hermes, Qwen, MiniMax, Kimi, GLM
    r"|<(start_)?function_?calls?\b[^>]*>|<function=|<invoke name=|<call:"  # Llama, Gemma, Claude
    r"|\[TOOL_(CALLS|REQUEST)\]"  # Mistral, LM Studio
    r"|<\|python_tag\|>|<\|(tool_call|plugin|action_start)\w*\|>"  # Llama 3, InternLM
    r"|<｜tool▁calls?▁begin｜>"  # DeepSeek
    r"|\bto=functions\.\w+"  # gpt-oss
    r"|\bfunctools\[",  # Phi
    re.IGNORECASE,
)
"""What surrounds a call in the formats that models were trained on."""
MAX_MARKER_CHARACTERS = 40
"""Longest marker that is quoted, in characters."""


def find_tool_call_marker(text: str, tool_names: Collection[str]) -> str:
    """Return the mark by which a text can be seen to hold a tool call; empty if it holds none.

    Args:
        text: the content of an answer.
        tool_names: names of the tools that were offered.
    """
    spoken = remove_thinking(text)  # a call rehearsed there says nothing about the server
    if found := CALL_MARKER_PATTERN.search(spoken):
        return found[0][:MAX_MARKER_CHARACTERS]
    names = "|".join(re.escape(name) for name in tool_names)
    if not names:
        return ""
    as_json = re.search(rf'"(name|tool|tool_name|function|action)"\s*:\s*"({names})"', spoken)
    as_react = re.search(rf"^Action:\s*({names})\b", spoken, re.MULTILINE)
    as_python = re.fullmatch(
        rf"\s*(```\w*\s*)?\[?({names})\(.*\)\]?\s*(```)?\s*", spoken, re.DOTALL
    )
    found = as_json or as_react or as_python
    return " ".join(found[0].split())[:MAX_MARKER_CHARACTERS] if found else ""
