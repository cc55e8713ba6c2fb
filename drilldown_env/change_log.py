"""The change log: who changed what for whom, and the public calendar of campaigns and holidays.

Most entries have nothing to do with any root: they are drawn as those that have are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from drilldown_env.config import DAYS
from drilldown_env.cube import Cube, cube_of, roles_of
from drilldown_env.definition import LONGEST_RUN, Root
from drilldown_env.domain import STAGES, TRACKING, Domain
from drilldown_env.levels import LOSS, MIX
from drilldown_env.planner import DOWN, SIZES, weighted
from drilldown_env.work import PLACE, Work
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
OWNERS = (  # each looks after one component
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
    all. No two entries but a rollback and its own are about one component and the same people.

    Args:
        domain: the product.
        roots: what has to be explained.
        stream: its next words are used.
    """
    cube, components = cube_of(domain.shape), (*domain.components, TRACKING)
    length = ENTRIES[0] + stream.integer_below(ENTRIES[1] - ENTRIES[0] + 1)
    undone = length // (ROLLED_BACK + 1)
    drawn: dict[tuple[str, int], tuple[float, int, Entry]] = {}

    def add(component: str, cell: int, first: int, stop: int) -> None:
        fixed = cube.fixed_by(cell)
        if fixed and stream.uniform() < WIDER:
            fixed.pop(stream.choose(sorted(fixed)))
        day = max(first - stream.integer_below(LAG + 1), 0)
        owner = stream.choose(OWNERS[components.index(component) :: len(components)])
        entry = Entry(day, component, cube.cell_of(fixed), owner, "")
        drawn.setdefault((component, entry.cell), (day + stream.uniform(), stop, entry))

    for root in roots:
        if stream.uniform() < DOCUMENTED:
            add(component_of(domain, root), root.cell, root.first, root.last + 1)
    while len(drawn) < length - undone:
        cell = stream.choose(cube.fixing[weighted(stream, SIZES)])
        component = stream.choose(components)
        roles = roles_of(domain, cell)
        if any(work.suits(roles) for work in domain.work_on(component)):
            first = stream.integer_below(DAYS)
            add(component, cell, first, first + 1 + stream.integer_below(LONGEST_RUN))
    ordered = sorted(drawn.values(), key=lambda each: each[0])
    entries = [replace(each, number=number) for number, (*_, each) in enumerate(ordered, start=1)]
    ends = {each.id: stop for each, (_, stop, _) in zip(entries, ordered, strict=True)}
    blamed: dict[str, list[Root]] = {}
    for root in sorted(roots, key=lambda each: each.last):
        entry_to_blame = change_of(cube, domain, root, entries)
        ends[entry_to_blame] = root.last + 1
        blamed.setdefault(entry_to_blame, []).append(root)
    used: set[Work] = set()
    for place, each in enumerate(entries):
        work, words = _work(domain, each, blamed.get(each.id, []), used, stream)
        used.add(work)
        entries[place] = replace(each, work=words)
        if work.final:
            del ends[each.id]
    return _numbered(entries, ends, undone, stream)


def _work(
    domain: Domain, entry: Entry, roots: Sequence[Root], used: Collection[Work], stream: BitStream
) -> tuple[Work, str]:
    """What an entry says was done, which can have moved the roots that it is to blame for.

    A mix shift moves people both ways. What was done before is done again only for want of others.
    """
    directions = {root.rises for root in roots} or {stream.uniform() >= DOWN}
    if any(root.kind == MIX for root in roots):
        directions = {True, False}
    roles = roles_of(domain, entry.cell)
    fitting = [w for w in domain.work_on(entry.component) if w.suits(roles, directions)]
    work = stream.choose([each for each in fitting if each not in used] or fitting)
    stages = sorted({root.stage for root in roots}) or [1 + stream.integer_below(STAGES - 2)]
    names = " and ".join(domain.stages[stage].replace("_", " ") for stage in stages)
    return work, work.words.format(names)


def _numbered(
    entries: Sequence[Entry], ends: Mapping[str, int], undone: int, stream: BitStream
) -> tuple[Entry, ...]:
    """Entries, and so many of them rolled back on the days that they end, with final numbers."""
    able = [each for each in entries if ends.get(each.id, DAYS) < DAYS]
    back = [
        replace(each, day=ends[each.id], undoes=each.number)
        for each in stream.shuffled_copy(able)[:undone]
    ]
    both = sorted((*entries, *back), key=lambda each: each.day)
    places = {each.number: n for n, each in enumerate(both, start=1) if not each.undoes}
    return tuple(
        replace(each, number=number, undoes=places.get(each.undoes, 0))
        for number, each in enumerate(both, start=1)
    )
