"""Finds tool calls that a model wrote as text because its server has no parser for them."""

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
"""Matches the start of a tool call in the formats that models were trained on."""
MAX_MARKER_CHARACTERS = 40
"""Longest marker that is returned, in characters."""


def find_tool_call_written_as_text(answer_text: str, tool_names: Collection[str]) -> str:
    """Return the part of a response that looks like a tool call; empty if there is none.

    Args:
        answer_text: text content of the response.
        tool_names: names of the tools that the model was offered.
    """
    answer = remove_thinking(answer_text)  # models also draft calls while thinking
    if match := CALL_MARKER_PATTERN.search(answer):
        return match[0][:MAX_MARKER_CHARACTERS]
    names = "|".join(re.escape(name) for name in tool_names)
    if not names:
        return ""
    match = (
        re.search(rf'"(name|tool|tool_name|function|action)"\s*:\s*"({names})"', answer)  # JSON
        or re.search(rf"^Action:\s*({names})\b", answer, re.MULTILINE)  # ReAct
        or re.fullmatch(
            rf"\s*(```\w*\s*)?\[?({names})\(.*\)\]?\s*(```)?\s*", answer, re.DOTALL
        )  # Python
    )
    return " ".join(match[0].split())[:MAX_MARKER_CHARACTERS] if match else ""
