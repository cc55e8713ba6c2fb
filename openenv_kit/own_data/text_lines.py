"""Checks the bytes of a text file, copies the file as UTF-8, and finds the line of a row."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.file_format import (
    ENCODING_NAMES,
    TextFormat,
    iter_chunks,
    open_bytes,
    refuse_large_table,
)

MAX_LINE_CHARACTERS = 2_000_000
"""Length of the longest accepted line, which is DuckDB's default limit in bytes."""


class LineEndings(NamedTuple):
    """The kinds of line endings that a text file contains."""

    has_unix: bool
    has_windows: bool
    has_mac: bool

    @property
    def are_mixed(self) -> bool:
        """Whether the file contains more than one kind."""
        return self.has_unix + self.has_windows + self.has_mac > 1


def check_bytes(path: Path, text_format: TextFormat) -> LineEndings:
    """Read a whole file and check that it can be decoded and is not too large.

    Returns:
        The line endings of the file.

    Raises:
        TableRefused: the file has bytes that cannot be decoded or NUL bytes, or is too large.
    """
    has_unix = has_windows = has_mac = False
    line = 1
    size_bytes = 0
    ends_with_return = False
    for text in _iter_text(path, text_format):
        size_bytes += len(text)
        refuse_large_table(size_bytes)
        if "\0" in text:
            place = line + text.count("\n", 0, text.index("\0"))
            raise TableRefused(
                f"line {place}: a NUL byte, which is not allowed in text; export the table again "
                "or pass --encoding."
            )
        if "\r" in text or ends_with_return:
            joined = ("\r" if ends_with_return else "") + text
            ends_with_return = joined.endswith("\r")
            body = joined[:-1] if ends_with_return else joined
            windows_count = body.count("\r\n")
            has_windows |= windows_count > 0
            has_mac |= body.count("\r") > windows_count
            has_unix |= body.count("\n") > windows_count
        else:
            has_unix |= "\n" in text
        line += text.count("\n")
    has_mac |= ends_with_return
    return LineEndings(has_unix, has_windows, has_mac)


def copy_as_utf8(path: Path, text_format: TextFormat, target: Path) -> None:
    """Write an uncompressed copy of a text file in UTF-8 with Unix line endings."""
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    with target.open("w", encoding="utf-8", newline="") as file:
        for text in _iter_text(path, text_format):
            file.write(decoder.decode(text))
        file.write(decoder.decode("", final=True))


def find_faulty_line(path: Path, text_format: TextFormat) -> str:
    """Find the first line that has the wrong number of fields or an unclosed quote.

    Returns:
        A message such as `line 7: 5 fields, the header has 4`; empty if there is no such line.
    """
    expected = len(text_format.columns)
    rows = _RowReader(path, text_format)
    try:
        for row in rows:
            if row and len(row) != expected:
                fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
                return f"line {rows.first_line}: {fields}, the header has {expected}"
    except csv.Error as problem:
        if "field larger" in str(problem):
            return (
                f"line {rows.next_line}: a cell of more than {csv.field_size_limit():,} "
                "characters; is a quote unclosed?"
            )
        return f"line {rows.next_line}: a quote that is not closed"
    return ""


def find_line_of_row(path: Path, text_format: TextFormat, row_number: int) -> int:
    """Return the number of the first physical line of a row.

    Args:
        path: the file.
        text_format: format of the file.
        row_number: number of the row, from 1 for the first row below the header. Blank lines are
            not counted.
    """
    rows = _RowReader(path, text_format)
    seen = 0
    try:
        for row in rows:
            seen += bool(row)
            if seen == row_number:
                return rows.first_line
    except csv.Error:
        pass
    return rows.next_line


class _RowReader:
    """Iterates over the rows below the header and keeps the line number of the current row."""

    def __init__(self, path: Path, text_format: TextFormat) -> None:
        self._lines = _iter_lines(path, text_format)
        for _ in range(text_format.header_lines):
            next(self._lines, None)
        self._header_lines = text_format.header_lines
        self._reader = csv.reader(self._lines, delimiter=text_format.separator, strict=True)
        self.first_line = 0

    @property
    def next_line(self) -> int:
        """Number of the line after the last complete row."""
        return self._header_lines + self._row_end + 1

    _row_end = 0

    def __iter__(self) -> Iterator[list[str]]:
        for row in self._reader:
            self.first_line = self.next_line
            self._row_end = self._reader.line_num
            yield row


def _iter_lines(path: Path, text_format: TextFormat) -> Iterator[str]:
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    rest = ""
    line_count = 0
    for text in _iter_text(path, text_format):
        parts = (rest + decoder.decode(text)).split("\n")
        rest = parts.pop()
        line_count += len(parts)
        if len(rest) > MAX_LINE_CHARACTERS:
            raise TableRefused(
                f"line {line_count + 1}: more than {MAX_LINE_CHARACTERS:,} characters."
            )
        for part in parts:
            yield part + "\n"
    rest += decoder.decode("", final=True)
    if rest:
        yield rest


def _iter_text(path: Path, text_format: TextFormat) -> Iterator[str]:
    """Yield the decoded text of a file in chunks.

    Raises:
        TableRefused: the bytes cannot be decoded.
    """
    decoder = codecs.getincrementaldecoder(text_format.encoding)()
    line = 1
    with open_bytes(path, is_gzip=text_format.is_gzip) as file:
        file.read(text_format.bom_bytes)
        for chunk in iter_chunks(file):
            try:
                text = decoder.decode(chunk)
            except UnicodeDecodeError as problem:
                place = line + problem.object[: problem.start].count(b"\n")
                raise _build_decoding_error(place, text_format) from None
            line += text.count("\n")
            yield text
        try:
            yield decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise _build_decoding_error(line, text_format) from None


def _build_decoding_error(line: int, text_format: TextFormat) -> TableRefused:
    name = ENCODING_NAMES[text_format.encoding]
    return TableRefused(
        f"line {line}: bytes that are not {name}; pass --encoding, such as latin-1."
    )
