"""Code blocks of a Markdown page, and how each is run.

A comment on the last line before a block that is not blank says what is special about it:

    <!-- not run: REASON -->    it cannot run here
    <!-- serve -->              it starts the server that the rest of the page talks to
    <!-- fails: TEXT -->        it has to fail, with TEXT in its output
"""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass

SHELL = ("bash", "sh", "shell")
PYTHON = ("python", "py")
SHOWN = (
    *("", "text", "console", "json", "jsonl", "sql", "yaml", "toml", "ini", "dockerfile"),
    *("html", "nginx"),
)
"""Languages of blocks that are there to be read."""
KINDS = ("not run", "serve", "fails")

FENCE = re.compile(r"^(?P<indent>\s*)(?P<ticks>`{3,})\s*(?P<language>[\w+-]*)\s*$")
MARKER = re.compile(r"^\s*<!--\s*(?P<kind>[a-z ]+?)\s*(?::\s*(?P<words>.*?))?\s*-->\s*$")
COMMAND = re.compile(r"^\s*\$?\s*(uv|pip|curl|docker|git|openenv|metric-tracker|python3?) \S")
INLINE = re.compile(r"(?<!`)`((?:uv run|metric-tracker) [^`\n]+)`(?!`)")


class PageError(ValueError):
    """A page with an invalid marker or block."""


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: where it stands.
        line: line number of its fence.
        language: as the fence says.
        text: its lines, without the fence's indentation.
        kind: empty, or one of `KINDS`.
        words: reason or expected text that came with the kind.
    """

    page: str
    line: int
    language: str
    text: str
    kind: str = ""
    words: str = ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str) -> list[Block]:
    """Return the fenced blocks of a page.

    Raises:
        PageError: an unknown marker, one without its reason, one that belongs to no block, a fence
            that is never closed, or a command in a block that is only shown.
    """
    found = []
    marker: tuple[str, str] = ("", "")
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        fence = FENCE.match(line)
        if fence:
            found.append(_block(page, number, fence, _until(fence, lines, page, number), marker))
            marker = ("", "")
        elif line.strip():
            if marker[0]:
                raise PageError(
                    f"{page}:{number}: a marker stands before something that is no block"
                )
            marker = _marker(line, f"{page}:{number}")
    return found


def _until(fence: re.Match[str], lines, page: str, number: int) -> str:
    inside = []
    for _, line in lines:
        if line.strip() == fence["ticks"]:
            return textwrap.dedent("\n".join(inside)) + "\n"
        inside.append(line)
    raise PageError(f"{page}:{number}: the block is never closed")


def _marker(line: str, place: str) -> tuple[str, str]:
    """Return kind and text of a marker line; empty texts for other lines."""
    match = MARKER.match(line)
    if match is None or match["kind"].split()[0] not in ("not", "serve", "fails"):
        return ("", "")
    kind, words = match["kind"], match["words"] or ""
    if kind not in KINDS:
        raise PageError(f"{place}: marker {kind!r}; allowed: {', '.join(KINDS)}")
    if kind != "serve" and not words:
        raise PageError(f"{place}: the marker {kind!r} needs words: <!-- {kind}: … -->")
    return kind, words


def _block(
    page: str, number: int, fence: re.Match[str], text: str, marker: tuple[str, str]
) -> Block:
    language = fence["language"].lower()
    if language not in (*SHELL, *PYTHON, *SHOWN):
        raise PageError(f"{page}:{number}: language {language!r} is neither run nor shown")
    if language in SHOWN and any(COMMAND.match(line) for line in text.splitlines()):
        raise PageError(f"{page}:{number}: a command that is not marked as bash is never run")
    return Block(page, number, language, text, *marker)


def commands_of(text: str) -> list[str]:
    """Return the commands of a shell block, without comments and with continued lines joined."""
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if shlex.split(line, comments=True)]


def inline_commands(text: str) -> list[str]:
    """Return the commands that a page mentions in its sentences."""
    outside, inside_block = [], False
    for line in text.splitlines():
        if FENCE.match(line) or line.strip().startswith("```"):
            inside_block = not inside_block
        elif not inside_block:
            outside.append(line)
    return INLINE.findall("\n".join(outside))
