"""Finds the thinking sections of a model's text, for example between `<think>` tags.

A tool call inside such a section is not executed, because the model may only be planning it.
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
"""Tags that open or close a thinking section in the formats of different models."""


class TextSpan(NamedTuple):
    """A part of a text, from `start` up to but not including `end`."""

    start: int
    end: int

    def __contains__(self, position: object) -> bool:
        return isinstance(position, int) and self.start <= position < self.end


def find_thinking_sections(text: str) -> list[TextSpan]:
    """Return the thinking sections of a text in order, including their tags.

    Nested sections are part of the outer one. A section without a closing tag extends to the end of
    the text. A closing tag without an opening one ends a section that starts at the beginning of
    the text, because some prompts already contain the opening tag.
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
    """Return a text without its thinking sections."""
    remaining_parts, end = [], 0
    for section in find_thinking_sections(text):
        remaining_parts.append(text[end : section.start])
        end = section.end
    return "".join([*remaining_parts, text[end:]])


def _tag_name(tag: re.Match[str]) -> str:
    """Return the part of a tag that its opening and its closing form share, in lower case."""
    if tag["name"]:
        return tag["name"].lower()
    marker = tag["word"] or tag["part"] or ""
    return tag[0].strip("[]◁▷/<|>").removeprefix(marker).lower()


def _is_closing_tag(tag: re.Match[str]) -> bool:
    word = (tag["word"] or tag["part"] or "").lower()
    return word == "end" or bool(tag["close"] or tag["square_close"] or tag["arrow_close"])
