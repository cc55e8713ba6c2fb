"""The reference: finds every root from replies alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from drilldown_next.policies.replies import (
    EpisodeDescription,
    Request,
    SegmentValues,
    find_change,
    list_dates,
    parse_log,
    parse_segment,
    request,
    submit,
)
from drilldown_next.policies.runs import Run, find_best_run
from openenv_kit.rollouts.policies import ObservationJson, PolicySteps

MIN_LOSSES = (15, 10)
"""Smallest losses of the cells that are asked for at a step, in %, one request each."""
MAX_COMPARED = (3, 2)
"""Largest number of segments that are compared after each of these requests."""
MIN_RELATIVE_EVIDENCE = 0.35
"""Further segments are compared if their evidence is at least this share of the largest."""
MIN_EVIDENCE = 8.0
"""Smallest evidence of a segment that is compared: loss² × people who entered."""
DAYS_BESIDE = 7
"""Number of days that are compared before and after the week of a cell."""


class Candidate(NamedTuple):
    """A segment that may have lost people.

    Attributes:
        evidence: loss² × people who entered, of its best week.
        segment: the segment.
        week: first date of its best week.
    """

    evidence: float
    segment: SegmentValues
    week: str


class FoundRow(NamedTuple):
    """A root that was found."""

    step: str
    segment: SegmentValues
    run: Run


def reference(observation: ObservationJson) -> PolicySteps:
    """Finds every root by the public definition, from replies alone."""
    episode = EpisodeDescription.from_observation(observation)
    given = episode.given
    if "date_from" in given:
        rows = yield from _find_segment(episode)
    elif "segment" in given:
        run = yield from _compare(episode, given["step"], given["segment"], _read_week(episode), [])
        rows = [FoundRow(given["step"], given["segment"], run)] if run else []
    else:
        rows = yield from _search_steps(episode)
    yield submit((yield from _build_rows(episode, rows)))


def _find_segment(episode: EpisodeDescription) -> Request:
    """Find the value that lost most on given days, by one request."""
    given, dimensions = episode.given, episode.config["dimensions"]
    names = list(dimensions)[:2]
    dates = [given["date_from"], given["date_to"]]
    result = yield from request(
        "slice", step=given["step"], group_by=names, every="total", dates=dates
    )
    values = [(name, value) for name in names for value in dimensions[name]]

    def least_loss(value: tuple[str, str]) -> float:
        column = names.index(value[0])
        losses = [row[2] for row in result["rows"] if row[column] == value[1]]
        return sum(loss for loss in losses if loss is not None) / len(losses)

    name, value = max(values, key=least_loss)
    return [FoundRow(given["step"], {name: value}, Run(0.0, *dates))]


def _search_steps(episode: EpisodeDescription) -> Request:
    """Search the steps for roots, until there can be no more."""
    found: list[FoundRow] = []
    steps = [episode.given["step"]] if "step" in episode.given else episode.steps
    # Large losses are looked for at every step before smaller ones.
    for step, (min_loss, max_compared) in _list_searches(steps):
        while len(found) < episode.max_roots:
            row = yield from _search_step(episode, step, found, min_loss, max_compared)
            if row is None:
                break
            found.append(row)
    return found


def _list_searches(steps: Sequence[str]) -> list[tuple[str, tuple[int, int]]]:
    passes = zip(MIN_LOSSES, MAX_COMPARED, strict=True)
    return [(step, search) for search, step in product(passes, steps)]


def _search_step(
    episode: EpisodeDescription,
    step: str,
    found: Sequence[FoundRow],
    min_loss: int,
    max_compared: int,
) -> Request:
    """Return the best root of a step that was not found yet; None if there is none."""
    without = list_removals(episode, step, found)
    result = yield from request("top_segments", step=step, min_loss=min_loss, without=without)
    best: FoundRow | None = None
    candidates = _rank_candidates(result)
    for candidate in candidates[:max_compared]:
        is_close = candidate.evidence >= MIN_RELATIVE_EVIDENCE * candidates[0].evidence
        if best is not None and not is_close:
            break
        run = yield from _compare(episode, step, candidate.segment, candidate.week, without)
        if run is not None and (best is None or run.gain > best.run.gain):
            best = FoundRow(step, candidate.segment, run)
    return best


def list_removals(
    episode: EpisodeDescription, step: str, found: Sequence[FoundRow]
) -> list[dict[str, Any]]:
    """Return the calendar entries and the found roots of a step, as entries of `without`."""
    removals = episode.list_calendar_removals(step)
    removals += [
        {"segment": row.segment, "dates": [row.run.first, row.run.last]}
        for row in found
        if row.step == step
    ]
    return removals


def _rank_candidates(result: Mapping[str, Any]) -> list[Candidate]:
    """Return the segments of `top_segments` with enough evidence, the largest first."""
    best: dict[str, Candidate] = {}
    for text, week, entered, loss in result["rows"]:
        evidence = entered * (loss / 100.0) ** 2
        if text not in best or evidence > best[text].evidence:
            best[text] = Candidate(evidence, parse_segment(text), week)
    ranked = sorted(best.values(), key=lambda candidate: -candidate.evidence)
    return [candidate for candidate in ranked if candidate.evidence >= MIN_EVIDENCE]


def _compare(
    episode: EpisodeDescription,
    step: str,
    segment: SegmentValues,
    week: str,
    without: Sequence[Mapping[str, Any]],
) -> Request:
    """Return the best run of a segment around a week; None if no run counts."""
    dates = episode.dates
    monday = dates.index(week)
    first, last = max(monday - DAYS_BESIDE, 0), min(monday + 6 + DAYS_BESIDE, len(dates) - 1)
    result = yield from request(
        "compare",
        step=step,
        segment=segment,
        dates=[dates[first], dates[last]],
        without=list(without),
    )
    return find_best_run(result)


def _read_week(episode: EpisodeDescription) -> str:
    """Return the first date of the week that the alert names."""
    import datetime as dt

    for date in episode.dates[::7]:
        day = dt.date.fromisoformat(date)
        if f"in the week of {day.day} {day:%B}." in episode.alert:
            return date
    raise ValueError("the alert names no week")


def _build_rows(episode: EpisodeDescription, found: Sequence[FoundRow]) -> Request:
    """Return the rows of the report, with the change that explains each root."""
    rows = []
    log = []
    if found:
        firsts = [row.run.first for row in found]
        start = episode.dates[max(episode.dates.index(min(firsts)) - 2, 0)]
        log = parse_log((yield from request("change_log", dates=[start, max(firsts)])))
    for row in found:
        first = episode.dates.index(row.run.first)
        before = list_dates(episode.dates[max(first - 2, 0)], row.run.first)
        component = episode.config["components"][row.step]
        fields = {
            "step": row.step,
            "segment": row.segment,
            "date_from": row.run.first,
            "date_to": row.run.last,
            "change": find_change(log, component, row.segment, before),
        }
        rows.append({name: value for name, value in fields.items() if name not in episode.given})
    return rows
