"""The reference: finds every root from replies alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

from drilldown_next.policies.candidates import Candidate, list_candidates
from drilldown_next.policies.replies import (
    EpisodeDescription,
    Request,
    SegmentValues,
    find_change,
    list_dates,
    parse_log,
    request,
    submit,
)
from drilldown_next.policies.runs import MIN_SCORE, Run, find_best_run
from drilldown_next.policies.sql_comparison import (
    build_comparison_query,
    build_daily_query,
    read_comparison,
    read_daily_counts,
)
from openenv_kit.rollouts.policies import ObservationJson, PolicySteps

MIN_EVIDENCE = 3.0
"""Smallest evidence of a segment that is compared."""
MAX_COMPARED = 5
"""Largest number of segments of a step that are compared until one has a run."""
MAX_RIVALS = 2
"""Largest number of relatives of a segment with a run that are compared as well."""
NEAR_SCORE = 4.0
"""Score of a run from which its segment is compared again after another root was found."""
COMPARED_DAYS = 13
"""Number of days that are compared around a cell."""
MORE_DAYS = 7
"""Number of days that are compared in addition where a run reaches the last of them."""


@dataclass(frozen=True)
class StepMemory:
    """What is known about a step.

    Attributes:
        rate: usual share of people who take the step.
        spreads: spread of each day that was compared.
        tried: names of cells that are far from having a run.
        replaced: segments whose row was replaced by one with a larger gain.
    """

    rate: float
    spreads: dict[int, float] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)


class FoundRow(NamedTuple):
    """A root that was found."""

    step: str
    segment: SegmentValues
    run: Run

    def comes_before(self, other: FoundRow) -> bool:
        """Return whether the definition takes this row before another one of the same step."""
        return self.step == other.step and self.run.gain > other.run.gain

    def replaces(self, other: FoundRow) -> bool:
        """Return whether this row comes before another one and shares a day with it."""
        shares_day = self.run.first <= other.run.last and other.run.first <= self.run.last
        return shares_day and self.comes_before(other)


def reference(observation: ObservationJson) -> PolicySteps:
    """Finds every root by the public definition, from replies alone."""
    episode = EpisodeDescription.from_observation(observation)
    given = episode.given
    if "date_from" in given:
        rows = yield from _find_segment(episode)
    elif "segment" in given:
        day = episode.dates.index(episode.read_week()) + 3
        run = yield from _compare(
            episode, given["step"], given["segment"], day, [], StepMemory(0.5)
        )
        has_run = run is not None and run.score >= MIN_SCORE
        rows = [FoundRow(given["step"], given["segment"], run)] if has_run else []
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
    return [FoundRow(given["step"], {name: value}, Run(0.0, 0.0, *dates))]


def _search_steps(episode: EpisodeDescription) -> Request:
    """Search the steps for roots, until there can be no more."""
    found: list[FoundRow] = []
    steps = [episode.given["step"]] if "step" in episode.given else episode.steps
    for step in steps:
        rate = yield from _read_rate(episode, step)
        memory = StepMemory(rate)
        while len(found) < episode.max_roots:
            row = yield from _search_step(episode, step, found, memory)
            if row is None:
                break
            # The definition takes the largest gain first, and what it takes changes what the others
            # should do. An earlier row with less gain is searched for again if it shares days.
            replaced = [other for other in found if row.replaces(other)]
            # Each segment is searched for again once, so that two rows do not alternate.
            replaced = [other for other in replaced if str(other.segment) not in memory.replaced]
            memory.replaced.update(str(other.segment) for other in replaced)
            found = [other for other in found if other not in replaced]
            smaller = [other for other in found if row.comes_before(other)]
            if smaller:
                kept = [other for other in found if other not in smaller]
                without = list_removals(episode, step, kept)
                day = episode.dates.index(row.run.first) + 3
                run = yield from _compare(episode, step, row.segment, day, without, memory)
                if run is not None and run.score >= MIN_SCORE:
                    row = row._replace(run=run)
            found.append(row)
    return found


def _read_rate(episode: EpisodeDescription, step: str) -> Request:
    """Return the usual share of people who take a step."""
    name = min(
        episode.config["dimensions"], key=lambda each: len(episode.config["dimensions"][each])
    )
    if "sql" in episode.config:
        before = episode.config["stages"][episode.config["stages"].index(step) - 1]
        query = f'SELECT 1000 * sum("{step}") / sum("{before}") rate FROM counts'
        result = yield from request("sql", query=query)
        return result["rows"][0][0] / 1000.0
    result = yield from request("slice", step=step, group_by=[name], every="total", measure="rate")
    return fmean(row[-1] for row in result["rows"]) / 1000.0


def _search_step(
    episode: EpisodeDescription,
    step: str,
    found: Sequence[FoundRow],
    memory: StepMemory,
) -> Request:
    """Return the best root of a step that was not found yet; None if there is none.

    Args:
        episode: the episode.
        step: name of the step.
        found: roots that were found before.
        memory: what is known about the step; results of this search are added.
    """
    without = list_removals(episode, step, found)
    candidates = yield from list_candidates(episode, step, memory.rate, without)
    remaining = [each for each in candidates if each.name not in memory.tried]
    strong = [each for each in remaining if each.evidence >= MIN_EVIDENCE]
    # In quiet data, the noise is less than assumed: without a root, one segment is compared.
    remaining = strong if strong or found else remaining[:1]
    failed: list[Candidate] = []
    best: FoundRow | None = None
    while best is None:
        candidate = max(
            remaining, key=lambda each: each.weaken(failed, memory.spreads), default=None
        )
        if candidate is None or len(failed) == MAX_COMPARED:
            return None
        remaining.remove(candidate)
        run = yield from _compare(
            episode, step, candidate.segment, candidate.middle, without, memory
        )
        if run is not None and run.score >= MIN_SCORE:
            best = FoundRow(step, candidate.segment, run)
        else:
            failed.append(candidate)
            if run is None or run.score < NEAR_SCORE:
                memory.tried.add(candidate.name)
    rivals = [each for each in remaining if each.is_rival_of(candidate)]
    for rival in rivals[:MAX_RIVALS]:
        run = yield from _compare(episode, step, rival.segment, rival.middle, without, memory)
        if run is not None and run.score >= MIN_SCORE and run.gain > best.run.gain:
            best = FoundRow(step, rival.segment, run)
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


def _compare(
    episode: EpisodeDescription,
    step: str,
    segment: SegmentValues,
    day: int,
    without: Sequence[Mapping[str, Any]],
    memory: StepMemory,
) -> Request:
    """Return the best run of a segment around a day; None without one.

    If no run reaches the smallest score, the run with the largest score is returned.
    """
    dates = episode.dates
    start = min(max(day - COMPARED_DAYS // 2, 0), len(dates) - COMPARED_DAYS)
    stop = start + COMPARED_DAYS
    run = yield from _find_run(episode, step, segment, dates[start:stop], without, memory)
    if run is not None and run.score >= MIN_SCORE:
        is_cut = (run.first == dates[start] and start > 0, run.last == dates[stop - 1])
        if any(is_cut) and (is_cut[0] or stop < len(dates)):
            start = max(start - MORE_DAYS * is_cut[0], 0)
            stop = min(stop + MORE_DAYS * is_cut[1], len(dates))
            run = yield from _find_run(episode, step, segment, dates[start:stop], without, memory)
    return run


def _find_run(
    episode: EpisodeDescription,
    step: str,
    segment: SegmentValues,
    dates: Sequence[str],
    without: Sequence[Mapping[str, Any]],
    memory: StepMemory,
) -> Request:
    """Return the best run of a segment within some days."""
    period = [dates[0], dates[-1]]
    if "sql" in episode.config:
        daily = build_daily_query(episode.config, step, segment, without)
        counts = read_daily_counts((yield from request("sql", query=daily)), period)
        run = find_best_run(counts)
        if run is None or run.score < MIN_SCORE:  # a spread is at least 1
            return run
        query = build_comparison_query(episode.config, step, segment, period, without)
        result = read_comparison((yield from request("sql", query=query)))
    else:
        removals = {"without": list(without)} if without else {}
        result = yield from request("compare", step=step, segment=segment, dates=period, **removals)
    memory.spreads.update((episode.dates.index(row[0]), row[-1]) for row in result["rows"])
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
