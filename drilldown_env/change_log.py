"""The change log: who changed what for whom, and the public calendar of campaigns and holidays.

Most entries have nothing to do with any root: they are drawn as those that have are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from drilldown_env.config import DAYS
from drilldown_env.cube import Cube, cube_of, roles_of
from drilldown_env.definition import LONGEST_RUN, Root
from drilldown_env.domain import TRACKING, Domain
from drilldown_env.levels import LOSS
from drilldown_env.planner import DOWN, SIZES, weighted
from drilldown_env.work import PLACE
from openenv_kit.bitstream import BitStream

ENTRIES = (22, 56)
"""Fewest and most entries of a log."""
LAG = 2
"""An answering entry is at most so many days older than the root."""
DOCUMENTED = 0.68
"""Chance that a root has an entry."""
WIDER = 0.4
"""Chance that the scope of an entry is a value wider than the segment it is for."""
ROLLED_BACK = 4
"""One entry in so many is rolled back."""
UNATTRIBUTED = "unattributed"
OWNERS = (
    *("Amira", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas"),
    *("Kavya", "Lena", "Mateo", "Nadia", "Owen", "Priya"),
)


@dataclass(frozen=True)
class Entry:
    """One entry of the log.

    Attributes:
        day: index of its date.
        component: what was changed.
        cell: whom it is for.
        owner: who did it.
        work: what was done, in words.
        number: place in the log, from 1; decides its id.
        undoes: number of the entry that it rolls back, 0 for none.
    """

    day: int
    component: str
    cell: int
    owner: str
    work: str
    number: int = 0
    undoes: int = 0

    @property
    def id(self) -> str:
        """What a report row names."""
        return entry_id(self.number)


@dataclass(frozen=True)
class Event:
    """An entry of the calendar: it explains what the traffic of these people does on these days."""

    first: int
    last: int
    cell: int
    rises: bool

    def explains(self, root: Root) -> bool:
        """Whether what was found is what was announced."""
        found = (root.stage, root.first, root.last, root.cell)
        return found == (0, self.first, self.last, self.cell)


def entry_id(number: int) -> str:
    """Id of the entry of that number."""
    return f"chg-{number:02d}"


def audience_of(domain: Domain, cell: int) -> str:
    """Whom an entry is for, as the log writes it."""
    fixed = cube_of(domain.shape).fixed_by(cell).items()
    parts = [domain.dims[axis].audience(domain.dims[axis].names[value]) for axis, value in fixed]
    return f"({', '.join(parts) or 'everyone'})"


def log_entries(domain: Domain, dates: Sequence[str], log: Sequence[Entry]) -> list[dict[str, str]]:
    """The log as a player reads it."""
    return [
        {
            "id": entry.id,
            "date": dates[entry.day],
            "component": entry.component,
            "owner": entry.owner,
            "change": (f"rollback of {entry_id(entry.undoes)}: " if entry.undoes else "")
            + f"{entry.work} {audience_of(domain, entry.cell)}",
        }
        for entry in log
    ]


def calendar_entries(
    domain: Domain, dates: Sequence[str], events: Sequence[Event]
) -> list[dict[str, str]]:
    """The calendar as a player reads it."""
    visits = domain.stages[0].replace("_", " ")
    return [
        {
            "from": dates[event.first],
            "to": dates[event.last],
            "event": f"{_occasion(domain, event)} {visits} expected "
            f"{audience_of(domain, event.cell)}",
        }
        for event in events
    ]


def _occasion(domain: Domain, event: Event) -> str:
    """Why more or fewer people come: only people of one place have a holiday."""
    if event.rises:
        return "campaign: more"
    of_a_place = PLACE in roles_of(domain, event.cell)
    return "holiday: fewer" if of_a_place else "campaigns paused: fewer"


def component_of(domain: Domain, root: Root) -> str:
    """The component whose changes can be a root's cause."""
    return TRACKING if root.kind == LOSS else domain.components[root.stage]


def change_of(cube: Cube, domain: Domain, root: Root, log: Sequence[Entry]) -> str:
    """The entry that a root is due to, by the public rule, or `unattributed`.

    Of the entries of the root's component, 0 to 2 days before its first day, whose scope holds the
    whole segment, the one that fixes most values; of several the latest, and of one day the first
    in the log. A rollback is never one.
    """
    component = component_of(domain, root)
    fitting = [
        entry
        for entry in log
        if entry.component == component
        and not entry.undoes
        and 0 <= root.first - entry.day <= LAG
        and cube.within[root.cell, entry.cell]
    ]
    if not fitting:
        return UNATTRIBUTED
    return max(fitting, key=lambda e: (int(cube.fixed[e.cell]), e.day, -e.number)).id


def draw_log(domain: Domain, roots: Sequence[Root], stream: BitStream) -> tuple[Entry, ...]:
    """The log of a draw, by date.

    What is to blame for a root can have moved it so, and is rolled back when the root ends, if at
    all.

    Args:
        domain: the product.
        roots: what has to be explained.
        stream: its next words are used.
    """
    cube = cube_of(domain.shape)
    length = ENTRIES[0] + stream.below(ENTRIES[1] - ENTRIES[0] + 1)
    undone = length // (ROLLED_BACK + 1)
    drawn: list[tuple[float, int, Entry]] = []

    def add(component: str, cell: int, first: int, stop: int) -> None:
        entry = _entry(domain, component, cell, first, stream)
        drawn.append((entry.day + stream.uniform(), stop, entry))

    for root in roots:
        if stream.uniform() < DOCUMENTED:
            add(component_of(domain, root), root.cell, root.first, root.last + 1)
    while len(drawn) < length - undone:
        cell = stream.pick(cube.fixing(weighted(stream, SIZES)))
        component = stream.pick((*domain.components, TRACKING))
        if any(work.suits(roles_of(domain, cell)) for work in domain.work_on(component)):
            first = stream.below(DAYS)
            add(component, cell, first, first + 1 + stream.below(LONGEST_RUN))
    drawn.sort(key=lambda each: each[0])
    entries = [replace(each, number=number) for number, (*_, each) in enumerate(drawn, start=1)]
    ends = {each.id: stop for each, (_, stop, _) in zip(entries, drawn, strict=True)}
    moved: dict[str, list[bool]] = {}
    for root in sorted(roots, key=lambda each: each.last):
        blamed = change_of(cube, domain, root, entries)
        ends[blamed] = root.last + 1
        moved.setdefault(blamed, []).append(root.rises)
    for place, each in enumerate(entries):
        directions = moved.get(each.id) or [stream.uniform() >= DOWN]
        work = domain.work_on(each.component)
        roles = roles_of(domain, each.cell)
        fitting = [one.words for one in work if one.suits(roles, directions)]
        entries[place] = replace(each, work=stream.pick(fitting))
    return _numbered(entries, ends, undone, stream)


def _numbered(
    entries: Sequence[Entry], ends: Mapping[str, int], undone: int, stream: BitStream
) -> tuple[Entry, ...]:
    """Entries, and so many of them rolled back on the days that they end, with final numbers."""
    able = [each for each in entries if ends[each.id] < DAYS]
    back = [
        replace(each, day=ends[each.id], undoes=each.number)
        for each in stream.shuffled(able)[:undone]
    ]
    both = sorted((*entries, *back), key=lambda each: each.day)
    places = {each.number: n for n, each in enumerate(both, start=1) if not each.undoes}
    return tuple(
        replace(each, number=number, undoes=places.get(each.undoes, 0))
        for number, each in enumerate(both, start=1)
    )


def _entry(domain: Domain, component: str, cell: int, first: int, stream: BitStream) -> Entry:
    """The entry of something that happens to a segment from a day on, without its words."""
    cube = cube_of(domain.shape)
    fixed = cube.fixed_by(cell)
    if fixed and stream.uniform() < WIDER:
        fixed.pop(stream.pick(sorted(fixed)))
    day = max(first - stream.below(LAG + 1), 0)
    return Entry(day, component, cube.cell_of(fixed), stream.pick(OWNERS), "")
