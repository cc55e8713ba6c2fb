"""Finds the parts of a model's text that are thinking, where a tool call is not meant to be made.

A model may rehearse a call between `<think>` and `</think>`. What it says outside is its answer.
"""

from __future__ import annotations

import re
from typing import NamedTuple

THINKING_TAG = re.compile(
    r"<\s*(?P<close>/)?\s*(?:\w+:)?(?P<name>think(?:ing)?|thoughts?|reasoning|scratchpad)"
    r"(?:\s[^<>]*)?(?<!/)>"
    r"|\[(?P<square_close>/)?THINK\]"  # Magistral
    r"|◁(?P<arrow_close>/)?think▷"  # Kimi-VL
    r"|<\|(?P<word>START|END)_THINKING\|>"  # Command
    r"|<\|(?P<part>begin|end)_of_thought\|>",  # Sky-T1
    re.IGNORECASE,
)
"""What opens or closes a section of thinking in the formats of different models."""


class TextSpan(NamedTuple):
    """A part of a text, from `start` up to but not including `end`."""

    start: int
    end: int

    def __contains__(self, position: object) -> bool:
        return isinstance(position, int) and self.start <= position < self.end


def find_thinking_sections(text: str) -> list[TextSpan]:
    """Return the sections of thinking in a text, tags included, in order.

    Sections may be nested. One without an end reaches to the end of the text. An end without a
    beginning means that the text began inside thinking, because the opening tag was in the prompt.
    """
    sections: list[TextSpan] = []
    open_names: list[str] = []
    start = 0
    for tag in THINKING_TAG.finditer(text):
        name = _tag_name(tag)
        if not _is_closing_tag(tag):
            start = start if open_names else tag.start()
            open_names.append(name)
        elif not open_names:
            sections = [TextSpan(0, tag.end())]
        elif name in open_names:
            while open_names.pop() != name:
                pass
            if not open_names:
                sections.append(TextSpan(start, tag.end()))
    if open_names:
        sections.append(TextSpan(start, len(text)))
    return sections


def remove_thinking(text: str) -> str:
    """Return a text without its sections of thinking."""
    kept, end = [], 0
    for section in find_thinking_sections(text):
        kept.append(text[end : section.start])
        end = section.end
    return "".join([*kept, text[end:]])


def _tag_name(tag: re.Match[str]) -> str:
    """Return what the beginning and the end of a section have in common."""
    found = tag["name"] or tag[0].strip("[]◁▷/<|>").removeprefix(tag["word"] or tag["part"] or "")
    return found.lower()


def _is_closing_tag(tag: re.Match[str]) -> bool:
    word = (tag["word"] or tag["part"] or "").lower()
    return word == "end" or bool(tag["close"] or tag["square_close"] or tag["arrow_close"])
