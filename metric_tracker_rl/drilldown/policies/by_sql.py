"""The reference where counts are read by SQL: its slices and comparisons, written as queries.

A query computes exactly the numbers that the slice or the comparison would hold, so that either
costs the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metric_tracker_rl.drilldown.policies.desk import Asking, Desk, T
from openenv_kit.play.policies import Observed


def by_sql(desk: Desk, player: Asking[T]) -> Asking[T]:
    """A player of slices and comparisons, who asks by queries and sees slices and comparisons.

    Days that are compared have to be others than those that they are compared with.
    """
    try:
        action = next(player)
        while True:
            tool, asked = action["analysis_method"], action["analysis_args"]
            if tool not in ("slice", "compare"):
                action = player.send((yield action))
                continue
            query = _query(desk, asked)
            seen = yield {"analysis_method": "sql", "analysis_args": {"query": query}}
            action = player.send(_as_asked(desk, seen, asked))
    except StopIteration as end:
        found: T = end.value
        return found


def _query(desk: Desk, asked: Mapping[str, Any]) -> str:
    """Counts by group and period: a day, a week from the first day on, or the days compared."""
    period = "date"
    days = [_within(asked[name]) for name in ("dates", "reference") if asked.get(name)]
    if "reference" in asked:
        period = days[0]
    elif asked.get("every") == "week":
        period = f"date_diff('day', DATE '{desk.dates[0]}', date) // 7"
    people = [
        f"{_quoted(name)} IN ({', '.join(map(_text, [of] if isinstance(of, str) else of))})"
        for name, of in asked.get("where", {}).items()
    ]
    conditions = [*people, *([f"({' OR '.join(days)})"] if days else [])]
    groups = [*map(_quoted, asked.get("group_by", ())), f"{period} AS period"]
    sums = [f"sum({_quoted(stage)})" for stage in asked.get("stages") or desk.stages]
    chosen = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {', '.join([*groups, *sums])} FROM counts{chosen} GROUP BY ALL ORDER BY ALL"


def _as_asked(desk: Desk, seen: Observed, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is seen of a query's reply, in the form of what it stands for."""
    told = {**seen}
    if told.get("analysis_result") is None:
        return told
    groups = len(asked.get("group_by", ()))
    by_group: dict[tuple[str, ...], list[list[int]]] = {}
    for row in told["analysis_result"]["result"]["rows"]:
        by_group.setdefault(tuple(row[:groups]), []).append(row[groups + 1 :])
    rows: list[list[Any]] = []
    for group, periods in by_group.items():
        if "reference" in asked:
            others, chosen = periods  # false comes before true
            pairs = zip(chosen, others, strict=True)
            rows.append([*group, *(count for pair in pairs for count in pair)])
            continue
        by_stage = zip(asked.get("stages") or desk.stages, zip(*periods, strict=True), strict=True)
        rows += [[*group, stage, list(counts)] for stage, counts in by_stage]
    return {**told, "analysis_result": {"result": {"rows": rows}}}


def _within(ranges: Sequence[Sequence[str]]) -> str:
    """Whether a date lies in some ranges."""
    return " OR ".join(
        f"date = '{first}'" if first == last else f"date BETWEEN '{first}' AND '{last}'"
        for first, last in ranges
    )


def _quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    """A value as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"
