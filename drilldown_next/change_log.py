"""The change log, and the public rule by which an entry explains a root.

Most entries have nothing to do with a root. They are drawn as those that have: around each root and
around as many other dates lie equally many entries of one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drilldown_next.levels import Field, Level
from drilldown_next.log_texts import Work
from drilldown_next.planting import draw_first_day, draw_segment
from drilldown_next.product import Product
from drilldown_next.segments import Segment, SegmentDays, SegmentTable, build_segment_table
from openenv_kit.bitstream import BitStream

UNATTRIBUTED = "unattributed"
MAX_AGE_DAYS = 2
"""Largest number of days between an entry and the first day of a root that it explains."""
CLUSTER_SIZE = 5
"""Number of entries around each root and each other date."""
EXPLAINED_SHARE = 2 / 3
"""Probability that one entry of a root's cluster is drawn for the root's own segment."""
EVERYBODY_SHARE = 0.2
"""Probability that an entry is for everybody."""
WHOLE_SEGMENT_SHARE = 0.5
"""Probability that an entry of a pair is for both values, if it is not for everybody."""
NEARBY_DAYS = 6
"""Largest distance in days of other clusters from a root whose week and segment are given."""
LOG_COLUMNS = ("id", "date", "component", "scope", "owner", "change")
EVERYBODY = "everybody"
OWNERS = ("Amira", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas")


@dataclass(frozen=True)
class LogEntry:
    """One entry of the change log.

    Attributes:
        number: position in the log, from 1.
        day: index of its date.
        step: index of the step whose component was changed.
        scope: values of the people for whom it was changed; empty for everybody.
        owner: who changed it.
        text: what was changed.
    """

    number: int
    day: int
    step: int
    scope: Segment
    owner: str
    text: str

    @property
    def id(self) -> str:
        """Id by which a report row names the entry."""
        return f"chg-{self.number:02d}"


@dataclass(frozen=True)
class _Draft:
    """An entry without number and words."""

    day: int
    step: int
    scope: Segment


def find_change(place: SegmentDays, segment: Segment, log: Sequence[LogEntry]) -> str:
    """Return the id of the entry that explains a root, or `unattributed`.

    Args:
        place: step and days of the root.
        segment: segment of the root.
        log: the whole log, in its order.
    """
    fitting = [entry for entry in log if _explains(entry, place, segment)]
    if not fitting:
        return UNATTRIBUTED
    return max(fitting, key=lambda entry: (len(entry.scope), entry.day, -entry.number)).id


def _explains(entry: LogEntry, place: SegmentDays, segment: Segment) -> bool:
    is_recent = 0 <= place.first - entry.day <= MAX_AGE_DAYS
    return entry.step == place.step and is_recent and set(entry.scope) <= set(segment)


def format_scope(product: Product, scope: Segment) -> str:
    """Return the people of a scope or segment, such as `country=India, platform=iPhone`."""
    named = product.name_segment(scope).items()
    return ", ".join(f"{name}={value}" for name, value in named) or EVERYBODY


def format_log(
    product: Product, dates: Sequence[str], log: Sequence[LogEntry]
) -> list[tuple[str, ...]]:
    """Return the log as players read it, one row of `LOG_COLUMNS` per entry."""
    return [
        (
            entry.id,
            dates[entry.day],
            product.components[entry.step],
            format_scope(product, entry.scope),
            entry.owner,
            entry.text,
        )
        for entry in log
    ]


def draw_log(
    product: Product, level: Level, roots: Sequence[SegmentDays], stream: BitStream
) -> tuple[LogEntry, ...]:
    """Draw the log of an episode, by date.

    Args:
        product: the product.
        level: the level.
        roots: step, segment and days of each root.
        stream: source of the random numbers.
    """
    table = build_segment_table(product.shape)
    if Field.DATES not in level.asked:
        drafts = _draw_entry_of_each_value(table, roots[0], level, stream)
    else:
        drafts = _draw_clusters(table, level, roots, len(product.components), stream)
    keyed = [(draft.day, stream.uniform(), draft) for draft in drafts]
    ordered = [draft for *_, draft in sorted(keyed, key=lambda key: key[:2])]
    used: set[Work] = set()
    log: list[LogEntry] = []
    for number, draft in enumerate(ordered, start=1):
        suited = [w for w in product.work[draft.step] if w.suits(product.list_roles(draft.scope))]
        work = stream.choose([each for each in suited if each not in used] or suited)
        used.add(work)
        owner = stream.choose(OWNERS[draft.step :: len(product.components)])
        log.append(LogEntry(number, draft.day, draft.step, draft.scope, owner, work.text))
    return tuple(log)


def _draw_entry_of_each_value(
    table: SegmentTable, root: SegmentDays, level: Level, stream: BitStream
) -> list[_Draft]:
    """Draw one entry per value, each with the same probability of being recent enough."""
    drafts = []
    recent = range(root.first - MAX_AGE_DAYS, root.first + 1)
    for segment in table.segments[: table.value_count]:
        if stream.uniform() < EXPLAINED_SHARE:
            day = stream.choose(recent)
        else:
            day = stream.choose([day for day in range(level.days) if day not in recent])
        drafts.append(_Draft(day, root.step, segment))
    return drafts


def _draw_clusters(
    table: SegmentTable,
    level: Level,
    roots: Sequence[SegmentDays],
    step_count: int,
    stream: BitStream,
) -> list[_Draft]:
    drafts: list[_Draft] = []
    for root in roots:
        own = int(stream.uniform() < EXPLAINED_SHARE)
        segments = [root.segment] * own
        segments += [draw_segment(table, level, stream) for _ in range(CLUSTER_SIZE - own)]
        drafts += _draw_cluster(table, root.step, root.first, segments, stream)
    for _ in range(level.log_clusters - len(roots)):
        segments = [draw_segment(table, level, stream) for _ in range(CLUSTER_SIZE)]
        step, first = stream.integer_below(step_count), draw_first_day(level, stream, 1)
        if Field.SEGMENT not in level.asked:
            first = _draw_near_day(roots[0].first, level, stream)
        drafts += _draw_cluster(table, step, first, segments, stream)
    while len(drafts) < level.log_size:
        step, day = stream.integer_below(step_count), stream.integer_below(level.days)
        scope = _draw_scope(table.segments[draw_segment(table, level, stream)], stream)
        drafts.append(_Draft(day, step, scope))
    return drafts


def _draw_near_day(root_first: int, level: Level, stream: BitStream) -> int:
    """Draw a day near the first day of a root, for a level whose alert gives the segment.

    With only one cluster near the week of the alert, the log would give the first day.
    """
    nearby = root_first - NEARBY_DAYS + stream.integer_below(2 * NEARBY_DAYS + 1)
    return min(max(nearby, MAX_AGE_DAYS), level.days - 1)


def _draw_cluster(
    table: SegmentTable, step: int, first: int, segments: Sequence[int], stream: BitStream
) -> list[_Draft]:
    """Draw entries of one step, dated as an entry that explains a root from `first` on."""
    return [
        _Draft(
            first - stream.integer_below(MAX_AGE_DAYS + 1),
            step,
            _draw_scope(table.segments[segment], stream),
        )
        for segment in segments
    ]


def _draw_scope(segment: Segment, stream: BitStream) -> Segment:
    """Draw for whom an entry is that was made for a segment."""
    if stream.uniform() < EVERYBODY_SHARE:
        return ()
    if len(segment) == 1 or stream.uniform() < WHOLE_SEGMENT_SHARE:
        return segment
    return (stream.choose(segment),)
