"""Detects whether a file is text or Parquet, and the encoding, separator and header of a text file.

DuckDB's own detection is not used: it reads `1.234;56` as 1.234, and it silently drops lines with
the wrong number of cells.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.count_text import format_count
from openenv_kit.own_data.options import SEPARATORS, ImportOptions

SAMPLE_BYTES = 64 * 1024
"""Number of bytes at the start of a file from which its format is detected."""
CHUNK_BYTES = 1024 * 1024
MAX_BYTES = 2_000_000_000
"""Largest uncompressed size of a table. Larger data should be aggregated by a query."""
MAX_COLUMNS = 5_000
SEPARATOR_NAMES = {character: name for name, character in SEPARATORS.items()}
ENCODING_NAMES = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-16": "UTF-16",
    "latin-1": "Latin-1",
    "cp1252": "Windows-1252",
}


class FileKind(StrEnum):
    """Kind of file that contains a table."""

    TEXT = "text"
    PARQUET = "parquet"


class HeaderPlace(NamedTuple):
    """Header of a text file.

    Attributes:
        columns: names of the columns.
        line_count: number of physical lines of the header.
    """

    columns: tuple[str, ...]
    line_count: int


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """How to read a text file.

    Attributes:
        encoding: Python's name of the encoding, such as `utf-8`.
        bom_bytes: size of the byte order mark; 0 if the file has none.
        separator: character between cells.
        columns: names in the header, in order.
        header_lines: number of physical lines up to the end of the header.
        is_gzip: whether the file is compressed.
        notes: assumptions that were made.
    """

    encoding: str
    bom_bytes: int
    separator: str
    columns: tuple[str, ...]
    header_lines: int
    is_gzip: bool
    notes: tuple[str, ...]


def detect_file_kind(path: Path) -> FileKind:
    """Return the kind of a file from its first bytes.

    Raises:
        TableRefused: the file is missing, empty, too large, a folder, or of a kind that is not
            supported.
    """
    try:
        if not path.is_file():
            raise TableRefused(f"{path.name} is not a file; pass the file of the table.")
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as problem:
        raise TableRefused(f"{path.name} cannot be read: {problem.strerror}.") from None
    if not size_bytes:
        raise TableRefused(f"{path.name} is empty; pass a table with a header and rows.")
    refuse_large_table(size_bytes)
    if start.startswith(b"PAR1"):
        return FileKind.PARQUET
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise TableRefused(
            f"{path.name} is a spreadsheet or a ZIP archive; save the table as CSV or Parquet."
        )
    return FileKind.TEXT


def refuse_large_table(size_bytes: int) -> None:
    """Raise an error if a table has more than 2 GB.

    Raises:
        TableRefused: the table is too large.
    """
    if size_bytes > MAX_BYTES:
        raise TableRefused(
            f"The table has {size_bytes / 1e9:.1f} GB; the limit is {MAX_BYTES / 1e9:.0f} GB; "
            "aggregate it with --sql, by day or hour."
        )


def open_bytes(path: Path, *, is_gzip: bool) -> BinaryIO:
    """Open a file for reading and unpack it if it is compressed."""
    return cast("BinaryIO", gzip.open(path, "rb")) if is_gzip else path.open("rb")


def iter_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a file in chunks.

    Raises:
        TableRefused: the compressed file is damaged.
    """
    while True:
        try:
            chunk = file.read(CHUNK_BYTES)
        except (EOFError, OSError, zlib.error):
            raise TableRefused(
                "The compressed file is damaged or cut off; export it again."
            ) from None
        if not chunk:
            return
        yield chunk


def detect_text_format(path: Path, options: ImportOptions) -> TextFormat:
    """Detect encoding, separator and header from the beginning of a text file.

    Raises:
        TableRefused: the text cannot be decoded, or has no header.
    """
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
    with open_bytes(path, is_gzip=is_gzip) as file:
        sample = b""
        for chunk in iter_chunks(file):
            sample += chunk
            if len(sample) >= SAMPLE_BYTES:
                break
    is_whole_file = len(sample) < SAMPLE_BYTES
    sample = sample[:SAMPLE_BYTES]
    notes: list[str] = []
    encoding, bom_bytes = _detect_encoding(sample, options.encoding, is_whole_file=is_whole_file)
    if encoding == "latin-1" and options.encoding is None:
        notes.append("The text is not UTF-8 and was read as Latin-1; --encoding changes this.")
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(
        sample[bom_bytes:], final=is_whole_file
    )
    lines = text.splitlines(keepends=True)
    if not is_whole_file and len(lines) > 1:
        lines.pop()  # The last line of the sample is cut off.
    skipped = count_lines_before_header(lines)
    if skipped == len(lines):
        raise TableRefused("The table has no header; its first line must name the columns.")
    separator = options.separator or _detect_separator(lines[skipped:], path)
    header = _read_header(lines[skipped:], separator)
    if skipped:
        notes.append(f"{format_count(skipped, 'blank or comment line')} before the header skipped.")
    return TextFormat(
        encoding=encoding,
        bom_bytes=bom_bytes,
        separator=separator,
        columns=header.columns,
        header_lines=skipped + header.line_count,
        is_gzip=is_gzip,
        notes=tuple(notes),
    )


def count_lines_before_header(lines: list[str]) -> int:
    """Return the number of blank lines and comment lines (starting with `#`) before the header."""
    for number, line in enumerate(lines):
        if line.strip(' \t\r\n,;|"') and not line.lstrip().startswith("#"):
            return number
    return len(lines)


class _Encoding(NamedTuple):
    name: str
    bom_bytes: int


def _detect_encoding(sample: bytes, given: str | None, *, is_whole_file: bool) -> _Encoding:
    for bom, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if sample.startswith(bom) and (given is None or name.startswith(given)):
            return _Encoding(name, len(bom))
    if given is not None:
        return _Encoding("utf-16-le" if given == "utf-16" else given, 0)
    # Dates, digits and separators of UTF-16 have a zero in every second byte.
    for name, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        if len(sample) >= 8 and zeros.count(0) > 0.7 * len(zeros):
            return _Encoding(name, 0)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=is_whole_file)
    except UnicodeDecodeError:
        return _Encoding("latin-1", 0)
    return _Encoding("utf-8", 0)


def _detect_separator(lines: list[str], path: Path) -> str:
    """Return the separator that splits most sampled rows into as many cells as the header.

    Raises:
        TableRefused: no separator gives two columns.
    """
    best, best_score = "", (0.0, 0)
    for separator in SEPARATORS.values():
        rows = _parse_rows("".join(lines[:200]), separator)
        if not rows or len(rows[0]) < 2:
            continue
        share = Counter(len(row) for row in rows)[len(rows[0])] / len(rows)
        score = (share, len(rows[0]))
        if score > best_score:
            best, best_score = separator, score
    if not best:
        raise TableRefused(
            f"line 1: only one column was found; pass --separator if {path.name} separates its "
            f"cells by another character than {', '.join(SEPARATORS)}."
        )
    return best


def _read_header(lines: list[str], separator: str) -> HeaderPlace:
    reader = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=separator)
    try:
        columns = tuple(name.strip() for name in next(reader))
    except csv.Error:
        columns = ()
    if not columns or len(columns) > MAX_COLUMNS:
        raise TableRefused(
            f"line 1: the header has {len(columns) or 'no'} columns; allowed: 2 to {MAX_COLUMNS}."
        )
    return HeaderPlace(columns, reader.line_num)


def _parse_rows(text: str, separator: str) -> list[list[str]]:
    try:
        return [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row
        ]
    except csv.Error:
        return []
