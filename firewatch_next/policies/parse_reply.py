"""Parses the replies of the tools that observe, for players that go by numbers only.

`query_metrics` gives series and all others give rows. Cells that are "-" are left out of a row, and
cells that are numbers become numbers, except in columns that hold names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from firewatch_next.faults.evidence import ParsedReply, ParsedSeries

_SERIES = re.compile(r"^(?P<metric>[a-z0-9_]+)(?:\{(?P<labels>[^}]*)\})? (?P<values>[-0-9. ]+)$")
_LABEL = re.compile(r'([a-z]+)="([^"]*)"')
_SPAN = re.compile(r"^ *(?:└ )?(\S+) (.+?) ([\d.]+) ms (\S+)(.*)$")
_CUT_MARK = "… "
_NAME_COLUMNS = frozenset({"id", "before", "after", "version", "revision", "title"})
_COLUMN_GAP = re.compile(r" {2,}")
_MINUTES = "minutes_ago"


def parse_reply(tool: str, text: str) -> ParsedReply:
    """Return the series or rows of a reply.

    Args:
        tool: name of the tool.
        text: the reply. Lines that were cut are missing from the result.
    """
    lines = [line for line in text.split("\n")[1:] if not line.startswith(_CUT_MARK)]
    if tool == "query_metrics":
        return ParsedReply(series=tuple(_parse_series(lines)))
    if tool == "find_traces":
        return ParsedReply(rows=tuple(_parse_spans(lines)))
    if tool == "search_logs":
        return ParsedReply(rows=tuple(_parse_counts(text)))
    return ParsedReply(rows=tuple(_parse_tables(lines)))


def _parse_series(lines: Sequence[str]) -> Iterator[ParsedSeries]:
    minutes: tuple[float, ...] = ()
    for line in lines:
        found = _SERIES.match(line)
        if found is None:
            continue
        values = found["values"].split()
        if found["metric"] == _MINUTES:
            minutes = tuple(float(value) for value in values)
            continue
        # A missing reading has a minute but no value.
        present = [i for i, value in enumerate(values) if value != "-"]
        yield ParsedSeries(
            found["metric"],
            dict(_LABEL.findall(found["labels"] or "")),
            tuple(float(values[i]) for i in present),
            tuple(minutes[i] for i in present),
        )


def _parse_tables(lines: Sequence[str]) -> Iterator[dict[str, str | float]]:
    """Yield the rows of all tables; a table's first column tells which one a row is from."""
    columns: list[str] = []
    for line in lines:
        if not line:
            columns = []
        elif not columns:
            columns = _COLUMN_GAP.split(line)
        else:
            cells = _COLUMN_GAP.split(line)
            yield {
                column: _parse_cell(column, cell)
                for column, cell in zip(columns, cells, strict=False)
                if cell != "-"
            }


def _parse_cell(column: str, cell: str) -> str | float:
    if column in _NAME_COLUMNS:
        return cell
    try:
        return float(cell)
    except ValueError:
        return cell


def _parse_spans(lines: Sequence[str]) -> Iterator[dict[str, str | float]]:
    """Yield one row per span, with its depth in the tree and its trace's number."""
    trace = -1
    for line in lines:
        if line.startswith("trace "):
            trace += 1
            continue
        found = _SPAN.match(line)
        if found is None:
            continue
        service, operation, milliseconds, status, tags = found.groups()
        row: dict[str, str | float] = {
            "trace": float(trace),
            "depth": (len(line) - len(line.lstrip(" "))) / 2.0,
            "service": service,
            "operation": operation,
            "milliseconds": float(milliseconds),
            "status": status,
        }
        row.update(
            {key: value for key, _, value in (t.partition("=") for t in tags.split()) if value}
        )
        yield row


def _parse_counts(text: str) -> Iterator[dict[str, str | float]]:
    """Yield the number of lines by level, then by version."""
    first, *others = text.split("\n")
    for level, count in re.findall(r"\b(ERROR|WARN|INFO|DEBUG) (\d+)", first):
        yield {"level": level, "lines": float(count)}
    for line in others:
        if line.startswith("lines by version: "):
            for part in line.removeprefix("lines by version: ").split(", "):
                version, count = part.split(" ")
                yield {"version": version, "lines": float(count)}
