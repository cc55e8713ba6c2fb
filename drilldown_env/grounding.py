"""What a player had read of a root: told beside the score, and never a part of it.

A root was shown by an answer about its step and days that tells its people from all others: by
`slice` or `compare` in a row of their own, by `sql` through their values, in a row or in the query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from drilldown_env.episode import Episode
from drilldown_env.report import ReportRow


def shown(
    episode: Episode, tool: str, asked: Mapping[str, Any], answer: Mapping[str, Any]
) -> set[int]:
    """Places, in the right report, of the roots that an answer shows.

    Args:
        episode: what was asked about.
        tool: a tool that reads counts.
        asked: its arguments, as they were accepted.
        answer: its answer.
    """
    found = enumerate(episode.expected_rows)
    if tool == "sql":
        return {number for number, root in found if _queried(root, asked["query"], answer["rows"])}
    return {number for number, root in found if _sliced(episode, root, asked, answer)}


def _sliced(
    episode: Episode, root: ReportRow, asked: Mapping[str, Any], answer: Mapping[str, Any]
) -> bool:
    groups = asked.get("group_by", [])
    fixed = {
        name: value if isinstance(value, str) else value[0]
        for name, value in asked.get("where", {}).items()
        if isinstance(value, str) or len(set(value)) == 1
    }
    segment = dict(root.segment)
    if {*groups, *fixed} != segment.keys() or not fixed.items() <= segment.items():
        return False
    ranges = asked.get("dates") or [(episode.dates[0], episode.dates[-1])]
    if not any(first <= root.date_to and last >= root.date_from for first, last in ranges):
        return False
    own = [segment[name] for name in groups]
    seen = root.stage in answer["columns"]
    return seen and any(row[: len(groups)] == own for row in answer["rows"])


def _queried(root: ReportRow, query: str, rows: Sequence[Sequence[Any]]) -> bool:
    if not re.search(rf"\b{root.stage}\b", query):
        return False
    values = {value for _, value in root.segment if f"'{value}'" not in query}
    return any(values <= {each for each in row if isinstance(each, str)} for row in rows)
