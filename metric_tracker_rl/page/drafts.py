"""Report rows that a tool's result points to, so that one click can put them in the report.

A row is offered for what the tool itself calls an anomaly. The values are the tool's own;
nothing is asked of the labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from metric_tracker_rl.analysis_tools.lookup import NORMAL
from metric_tracker_rl.engine.reporting_policy import ROW_FIELDS, Finding, row_for
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.vocabulary import (
    CONVERSION_RATE,
    COUNT_DROP,
    COUNT_SPIKE,
    EVENT_COUNT,
    HOURLY_MIX,
    MIX_SHIFT,
    RATE_DROP,
    RATE_SPIKE,
)

Row = dict[str, Any]


def drafts(view: EpisodeView, result: Mapping[str, Any]) -> list[Row]:
    """Every report row that a result offers, each once, in the result's order."""
    found: dict[tuple[Any, ...], Row] = {}
    for fields in _mappings(result, {}):
        row = draft(view, fields)
        if row:
            found.setdefault((row["date"], row["entity_type"], row["entity_name"]), row)
    return list(found.values())


def draft(view: EpisodeView, fields: Mapping[str, Any]) -> Row | None:
    """The report row that one line of a result stands for, or None where it stands for none."""
    if fields.get("anomaly_type", NORMAL) != NORMAL:
        if all(name in fields for name in ROW_FIELDS):
            return {name: fields[name] for name in ROW_FIELDS}
        if "daytime_share" in fields:
            return _row(view, fields["date"], HOURLY_MIX, MIX_SHIFT, len(_metrics(view)))
    if "metric_name" in fields and "date" in fields and "difference" in fields:
        return _metric_row(view, fields)
    return None


def _metric_row(view: EpisodeView, fields: Mapping[str, Any]) -> Row | None:
    """A day on which a metric lies away from its median, by the sign of the difference."""
    if not fields["difference"]:
        return None
    column = _metrics(view).index(fields["metric_name"])
    up = fields["difference"] > 0
    if column < len(view.episode.config.funnel_spec.counts):
        return _row(view, fields["date"], EVENT_COUNT, COUNT_SPIKE if up else COUNT_DROP, column)
    return _row(view, fields["date"], CONVERSION_RATE, RATE_SPIKE if up else RATE_DROP, column)


def _row(view: EpisodeView, date: str, kind: str, anomaly: str, column: int) -> Row:
    episode, funnel = view.episode, view.episode.config.funnel_spec
    name = funnel.mix if kind == HOURLY_MIX else funnel.metrics[column]
    finding = Finding(kind, name, anomaly, column)
    return row_for(finding, episode.day_index(date), date, episode.series).as_dict()


def _metrics(view: EpisodeView) -> tuple[str, ...]:
    return view.episode.config.funnel_spec.metrics


def _mappings(node: Mapping[str, Any], above: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each mapping of a result, with the plain fields of everything around it."""
    plain = {k: v for k, v in node.items() if not isinstance(v, Mapping | list | tuple)}
    here = {**above, **plain}
    yield here
    for value in node.values():
        inner = value if isinstance(value, list | tuple) else [value]
        for each in inner:
            if isinstance(each, Mapping):
                yield from _mappings(each, here)
