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
from drilldown_next.policies.sql_comparison import (
    build_comparison_query,
    build_daily_query,
    read_comparison,
    read_daily_counts,
)
from openenv_kit.rollouts.policies import ObservationJson, PolicySteps

MIN_RELATIVE_EVIDENCE = 0.35
"""Further segments are compared if their evidence is at least this share of the largest."""
MIN_SHARED_LOSS = 0.7
"""Share of a pair's loss from which a single value that contains it is compared first."""
MAX_RIVALS = 2
"""Largest number of relatives of a segment with a run that are compared as well."""
LARGEST_SAMPLE = 1000.0
"""Number of people beyond which a cell is hardly more certain: values vary by day."""
DAYS_BESIDE = 6
"""Number of days that are compared before and after the week of a cell."""


class Search(NamedTuple):
    """How one search for a root at a step is done.

    Attributes:
        min_loss: smallest loss of the cells that are asked for, in %.
        min_evidence: smallest evidence of a segment that is compared.
        max_compared: largest number of segments that are compared until one has a run.
    """

    min_loss: int
    min_evidence: float
    max_compared: int


SEARCHES = (Search(12, 18.0, 3), Search(8, 6.0, 3))
"""Searches in their order; each goes through all steps, unless all roots are found before."""


class Candidate(NamedTuple):
    """A segment that may have lost people.

    Attributes:
        evidence: squared loss of its best week, divided by its variance.
        segment: the segment.
        week: first date of its best week.
        loss: loss in that week, in %.
    """

    evidence: float
    segment: SegmentValues
    week: str
    loss: int

    def contains(self, other: Candidate) -> bool:
        """Return whether the other segment is a part of this one, in the same week."""
        return self.week == other.week and self.segment.items() < other.segment.items()

    def is_related_to(self, other: Candidate) -> bool:
        """Return whether two segments share a value, at most one week apart."""
        shares_value = bool(self.segment.items() & other.segment.items())
        return shares_value and len(list_dates(*sorted((self.week, other.week)))) <= 8


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
        run = yield from _compare(episode, given["step"], given["segment"], episode.read_week(), [])
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
    tried: set[str] = set()
    for search, step in product(SEARCHES, steps):
        while len(found) < episode.max_roots:
            row = yield from _search_step(episode, step, found, search, tried)
            if row is None:
                break
            found.append(row)
    return found


def _search_step(
    episode: EpisodeDescription,
    step: str,
    found: Sequence[FoundRow],
    search: Search,
    tried: set[str],
) -> Request:
    """Return the best root of a step that was not found yet; None if there is none.

    Args:
        episode: the episode.
        step: name of the step.
        found: roots that were found before.
        search: how to search.
        tried: segments without a run; those of this search are added.
    """
    without = list_removals(episode, step, found)
    result = yield from request(
        "top_segments", step=step, min_loss=search.min_loss, without=without
    )
    best: FoundRow | None = None
    related: list[Candidate] = []
    compared, rivals, min_evidence = 0, 0, 0.0
    for candidate in _rank_candidates(result, search.min_evidence):
        name = f"{step}: {candidate.segment} {candidate.week}"
        if name in tried:
            continue
        is_related = any(candidate.is_related_to(other) for other in related)
        # Before a run is found, relatives of a segment without one are left out. Afterwards, only
        # relatives of the found one can be the root instead.
        if is_related != (best is not None):
            continue
        if best is None and compared == search.max_compared:
            break
        if best is not None and (rivals == MAX_RIVALS or candidate.evidence < min_evidence):
            break
        compared, rivals = compared + 1, rivals + (best is not None)
        run = yield from _compare(episode, step, candidate.segment, candidate.week, without)
        if best is None:
            related = [candidate] if run else [*related, candidate]
            min_evidence = MIN_RELATIVE_EVIDENCE * candidate.evidence
        if run is None:
            tried.add(name)
        elif best is None or run.gain > best.run.gain:
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


def _rank_candidates(result: Mapping[str, Any], min_evidence: float) -> list[Candidate]:
    """Return the segments of `top_segments` with enough evidence, the largest first.

    A pair takes its turn after a single value that contains it and lost nearly as large a share.
    """
    best: dict[str, Candidate] = {}
    for text, week, entered, loss in result["rows"]:
        evidence = (loss / 100.0) ** 2 / (1.0 / entered + 1.0 / LARGEST_SAMPLE)
        if text not in best or evidence > best[text].evidence:
            best[text] = Candidate(evidence, parse_segment(text), week, loss)
    ranked = sorted(best.values(), key=lambda candidate: -candidate.evidence)
    ordered: list[Candidate] = []
    for candidate in ranked:
        if candidate.evidence >= min_evidence:
            wider = [each for each in ranked if each.contains(candidate)]
            similar = [each for each in wider if each.loss >= MIN_SHARED_LOSS * candidate.loss]
            ordered += [each for each in (*similar, candidate) if each not in ordered]
    return ordered


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
    period = [dates[first], dates[last]]
    if "sql" in episode.config:
        daily = build_daily_query(episode.config, step, segment, without)
        counts = read_daily_counts((yield from request("sql", query=daily)), period)
        if find_best_run(counts) is None:  # a spread is at least 1
            return None
        query = build_comparison_query(episode.config, step, segment, period, without)
        return find_best_run(read_comparison((yield from request("sql", query=query))))
    result = yield from request(
        "compare", step=step, segment=segment, dates=period, without=list(without)
    )
    return find_best_run(result)


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
