"""The result of `compare`, computed by SQL queries.

A cheap query returns the counts of a segment, which show whether it can have a root. Only then, an
expensive one computes the spread of each day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drilldown_next.policies.replies import SegmentValues
from drilldown_next.policies.runs import compute_scale, compute_usual_odds_ratio

QUERY = """
WITH k AS (SELECT *, "{before}" * ({kept}) a, "{after}" * ({kept}) b, ({segment}) inside
 FROM counts),
t AS (SELECT day, week, inside, sum(a) n, sum(b) y FROM k GROUP BY day, inside),
e AS (SELECT day, sum(n) n, sum(y) y FROM t GROUP BY day),
r AS (SELECT day, n, y FROM t WHERE inside = 0),
g AS (SELECT 0 d, '' v, t.day, week, t.n, t.y, e.n - t.n m, e.y - t.y x
 FROM t JOIN e ON e.day = t.day WHERE inside
 {values}),
o AS (SELECT d, v, median(q) o FROM (SELECT d, v, (sum(1.0 * y * (m - x) / max(n + m, 1)) + 0.5)
 / (sum(1.0 * (n - y) * x / max(n + m, 1)) + 0.5) q FROM g GROUP BY d, v, week) GROUP BY d, v),
p AS (SELECT g.*, o, (x + 0.5) / (m - x + 0.5) c FROM g JOIN o ON o.d = g.d AND o.v = g.v),
f AS (SELECT *, n * (c * o / (1 + c * o)) e, n * (c * o / (1 + c * o)) / (1 + c * o) s,
 m * c / (1 + c) / (1 + c) z FROM p),
h AS (SELECT *, CASE WHEN s > 0 AND z > 0
 THEN abs(e - y) * sqrt(s * z / (s + z)) / s ELSE 0 END u FROM f),
l AS (SELECT d, v, max(1.0, median(u) / 0.6745) l FROM h GROUP BY d, v),
w AS (SELECT day, CASE WHEN count(*) < 3 THEN 1.0 ELSE max(1.0, median(u / l) / 0.6745) END w
 FROM h JOIN l ON l.d = h.d AND l.v = h.v WHERE h.d > 0 AND n >= 20 AND m >= 20 GROUP BY day)
SELECT counts.date, n, y, m, x, o, l, coalesce(w, 1.0) w
FROM h JOIN l ON l.d = h.d AND l.v = h.v JOIN (SELECT DISTINCT day, date FROM counts) counts
 ON counts.day = h.day LEFT JOIN w ON w.day = h.day
WHERE h.d = 0 AND counts.date BETWEEN '{first}' AND '{last}' ORDER BY counts.date
"""
"""Column names are short, because a model would be charged for each character."""
VALUES = """UNION ALL SELECT {number}, k."{name}", k.day, k.week, sum(a), sum(b),
 r.n - sum(a), r.y - sum(b) FROM k JOIN r ON r.day = k.day WHERE inside = 0
 GROUP BY k."{name}", k.day"""


DAILY_QUERY = """
SELECT date, sum(CASE WHEN inside THEN a END) n, sum(CASE WHEN inside THEN b END) y,
 sum(CASE WHEN inside THEN 0 ELSE a END) m, sum(CASE WHEN inside THEN 0 ELSE b END) x
FROM (SELECT date, "{before}" * ({kept}) a, "{after}" * ({kept}) b, ({segment}) inside FROM counts)
GROUP BY date
"""


def build_daily_query(
    config: Mapping[str, Any],
    step: str,
    segment: SegmentValues,
    without: Sequence[Mapping[str, Any]],
) -> str:
    """Return the query for the people of a segment and of everybody else on all days.

    The arguments are those of `build_comparison_query`.
    """
    return DAILY_QUERY.format(**_build_parts(config, step, segment, without)).strip()


def read_daily_counts(result: Mapping[str, Any], dates: Sequence[str]) -> dict[str, Any]:
    """Convert the answer to the daily query to the result of `compare`, with spreads of 1.

    Args:
        result: the answer.
        dates: first and last date of the result.
    """
    rows = [[date, *(value or 0 for value in counts)] for date, *counts in result["rows"]]
    ratio = compute_usual_odds_ratio(rows)
    return {
        "usual_odds_ratio": ratio,
        "scale": compute_scale(rows, ratio),
        "rows": [[*row, None, 1.0] for row in rows if dates[0] <= row[0] <= dates[1]],
    }


def build_comparison_query(
    config: Mapping[str, Any],
    step: str,
    segment: SegmentValues,
    dates: Sequence[str],
    without: Sequence[Mapping[str, Any]],
) -> str:
    """Return the query that computes what `compare` returns.

    Args:
        config: description of the episode.
        step: name of the step.
        segment: the segment.
        dates: first and last date of the result.
        without: people to leave out, as for `compare`.
    """
    values = "\n ".join(
        VALUES.format(number=number, name=name)
        for number, name in enumerate(config["dimensions"], start=1)
    )
    parts = _build_parts(config, step, segment, without)
    return QUERY.format(**parts, values=values, first=dates[0], last=dates[1]).strip()


def read_comparison(result: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the answer to the query to the result of `compare`, without expected people."""
    rows = result["rows"]
    return {
        "usual_odds_ratio": rows[0][5],
        "scale": rows[0][6],
        "rows": [[*row[:5], None, row[7]] for row in rows],
    }


def _build_parts(
    config: Mapping[str, Any],
    step: str,
    segment: SegmentValues,
    without: Sequence[Mapping[str, Any]],
) -> dict[str, str]:
    stages = config["stages"]
    kept = "1" + "".join(
        f" AND NOT ({_build_condition(each['segment'])} AND date BETWEEN '{each['dates'][0]}' "
        f"AND '{each['dates'][1]}')"
        for each in without
    )
    return {
        "before": stages[stages.index(step) - 1],
        "after": step,
        "segment": _build_condition(segment),
        "kept": kept,
    }


def _build_condition(segment: Mapping[str, str]) -> str:
    return " AND ".join(f"\"{name}\" = '{value}'" for name, value in segment.items())
