"""Finds the thinking sections of a model's response, for example between `<think>` tags.

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
    """A range of positions in a string, from `start` (included) to `end` (excluded)."""

    start: int
    end: int

    def __contains__(self, position: object) -> bool:
        return isinstance(position, int) and self.start <= position < self.end


def find_thinking_sections(text: str) -> list[TextSpan]:
    """Return the thinking sections of a string in order, including their tags.

    Nested sections are part of the outer section. A section without a closing tag extends to
    the end of the string. A closing tag without an opening one ends a section that starts at the
    beginning of the string, because some prompts already contain the opening tag.
    """
    sections: list[TextSpan] = []
    open_names: list[str] = []
    start = 0
    for tag in THINKING_TAG.finditer(text):
        name = _get_lowercase_tag_name(tag)
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
    """Return a string without its thinking sections."""
    remaining_parts, end = [], 0
    for section in find_thinking_sections(text):
        remaining_parts.append(text[end : section.start])
        end = section.end
    return "".join([*remaining_parts, text[end:]])


def _get_lowercase_tag_name(tag: re.Match[str]) -> str:
    """Return the name of a tag in lower case; its opening and closing forms have the same name."""
    if tag["name"]:
        return tag["name"].lower()
    marker = tag["word"] or tag["part"] or ""
    return tag[0].strip("[]◁▷/<|>").removeprefix(marker).lower()


def _is_closing_tag(tag: re.Match[str]) -> bool:
    word = (tag["word"] or tag["part"] or "").lower()
    return word == "end" or bool(tag["close"] or tag["square_close"] or tag["arrow_close"])
