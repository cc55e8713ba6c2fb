"""The gallery's pages, pictures and recordings, and which of them are out of step.

To make them all takes minutes. So `out_of_step` makes a few pages anew, and of the others it reads
only which versions they were made under; METRIC_TRACKER_FULL=1 makes all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, MaxNLocator

from docs.generate.charts import carried_digest, digest, save
from docs.generate.gallery.drill import DrillDown
from docs.generate.gallery.funnels import Funnels
from docs.generate.gallery.incidents import Incidents
from docs.generate.gallery.rooms import Room, Shown, shown
from docs.generate.gallery.trace import REFERENCE, Trace, play, trace_text
from openenv_kit.play.panel import panel_scores
from openenv_kit.play.recording import read_runs

FOLDER = Path(__file__).resolve().parents[2] / "gallery"
INDEX = "index.md"
ROOMS: tuple[Room, ...] = (Funnels(), DrillDown(), Incidents())
SAMPLE = ("funnel-hourly_traffic_mix_shift", "incident-false")
"""Pages that every check makes anew."""
MADE_UNDER = re.compile(r"^Made under (?P<versions>.+)\.$", re.M)
DPI, COLOURS = 100, 64
"""Of the pictures, so that all of them together stay small."""
MOST_TICKS = 4

Write = Callable[[], object]

OPENING = """\
# Gallery

What an agent meets in each environment: a page for each family, with a section for each level on \
which it occurs. A section has a picture, the right answer, and the play of the scripted policy \
`reference`, which reads what a model is told and nothing else. All of it is written by \
`python -m docs.generate` from named tasks and from tasks of a train split, so it is of today's \
tasks and gives away none that measures.

Replies are shortened, and what is left out is named. The whole play is in the recording of its \
page: `metric-tracker replay` plays it again, and the [debugger](../debugger.md#addresses) shows \
it step by step, under *Watch* or at `/web/?run=` with the recording's address after it."""


@dataclass(frozen=True)
class Page:
    """A page of a family.

    Attributes:
        room: that it is in.
        family: name of the family.
    """

    room: Room
    family: str

    @property
    def name(self) -> str:
        """Name of its files, without their ends."""
        return f"{self.room.name}-{self.family}"

    def picture_name(self, each: Shown) -> str:
        """Name of a section's picture."""
        return f"{self.name}-{each.level}.png"

    @property
    def recording_name(self) -> str:
        """Name of the file with its plays."""
        return f"{self.name}.jsonl"


PAGES: dict[str, Page] = {
    page.name: page for room in ROOMS for page in (Page(room, name) for name in room.families)
}
"""Every page, in the order of the index."""


@cache
def exhibits(page: Page) -> list[Shown]:
    """What a page shows, level by level; its recording tells which episodes it showed before."""
    recording = FOLDER / page.recording_name
    runs = read_runs(recording) if recording.exists() else []
    return shown(page.room, page.family, [run.reset for run in runs])


@cache
def traces(page: Page) -> list[Trace]:
    """The reference's plays of what a page shows."""
    room = page.room
    return [play(room.environment, each.reset, room.told) for each in exhibits(page)]


@cache
def figure(page: Page, place: int) -> Figure:
    """The picture of a page's section; it is small, and so has few ticks."""
    drawn = exhibits(page)[place].exhibit.draw()
    for axis in (each for axes in drawn.axes for each in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_locator(), AutoLocator):
            axis.set_major_locator(MaxNLocator(MOST_TICKS))
    return drawn


def page_text(page: Page) -> str:
    """A page as Markdown."""
    family = page.room.families[page.family]
    sections = [_section(page, place) for place in range(len(exhibits(page)))]
    missing = [
        level for level in page.room.levels if level not in {each.level for each in exhibits(page)}
    ]
    absent = f"\n\nNone of the tasks looked at shows it on {_list(missing)}." if missing else ""
    head = f"# {family.title}\n\n*[Gallery](index.md): {page.room.title}, `{page.family}`*"
    parts = [
        f"## What it looks like\n\n{family.looks}",
        f"## How it is solved\n\n{family.way}{absent}",
        *sections,
    ]
    return "\n\n".join([head, *parts, _made_under(page.room)]) + "\n"


def _section(page: Page, place: int) -> str:
    """A level: its numbers, its episode, the picture, the answer, the reference's play."""
    each, trace, room = exhibits(page)[place], traces(page)[place], page.room
    scores = panel_scores(room.environment, each.reset)
    others = ", ".join(
        f"`{name}` {score:.2f}" for name, score in scores.items() if name != REFERENCE
    )
    reset = ", ".join(
        f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}"
        for name, value in each.reset.items()
    )
    return "\n\n".join(
        [
            f"## Level `{each.level}`",
            room.levels[each.level],
            f"The example is `reset({reset})`.",
            f"![{page.family} on {each.level}]({page.picture_name(each)})",
            each.exhibit.answer,
            f"The reference needs {len(trace.calls)} calls and scores {trace.score:.2f}. On the "
            f"same episode: {others}. [Recording]({page.recording_name}), run {place + 1} of "
            f"{len(exhibits(page))}.",
            f"```text\n{trace_text(trace, each.exhibit.concerns)}\n```",
        ]
    )


def _list(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _made_under(room: Room) -> str:
    """The line that says which versions a room is of."""
    return f"Made under {_versions(room)}."


@cache
def _versions(room: Room) -> str:
    first = next(iter(room.resets(next(iter(room.families)), next(iter(room.levels)))))
    versions = room.environment.versions_for(first)
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def index_text() -> str:
    """The index, which leads to every page."""
    return "\n\n".join([OPENING, *(part for room in ROOMS for part in _index_of(room))]) + "\n"


def _index_of(room: Room) -> Iterator[str]:
    yield f"## {room.title}\n\n{room.opening}"
    yield room.figures()
    for page in PAGES.values():
        if page.room is not room:
            continue
        family, seen = room.families[page.family], exhibits(page)
        shot = f"![{page.family}]({page.picture_name(seen[0])}){{ .thumb loading=lazy }}"
        thumb = f"[{shot}]({page.name}.md)"
        levels = ", ".join(f"[{each.level}]({page.name}.md#level-{each.level})" for each in seen)
        yield f"{thumb} **[{family.title}]({page.name}.md)**. {family.looks} Levels: {levels}."


def out_of_step(folder: Path = FOLDER, *, full: bool | None = None) -> dict[Path, Write]:
    """Files that are not what the code would write, each with what writes or removes it.

    Args:
        folder: of the gallery.
        full: whether every page is made anew; None as METRIC_TRACKER_FULL says.
    """
    whole = bool(os.environ.get("METRIC_TRACKER_FULL")) if full is None else full
    if whole:
        return _all_out_of_step(folder)
    stale: dict[Path, Write] = {
        folder / f"{page.name}.md": partial(_write_page, folder, page)
        for page in PAGES.values()
        if not _is_of_today(folder, page)
    }
    for name in SAMPLE:
        if folder / f"{name}.md" not in stale:
            stale |= dict(_page_out_of_step(folder, PAGES[name]))
    return stale


def _is_of_today(folder: Path, page: Page) -> bool:
    """Whether a page is there and says that it was made under the versions in force."""
    path = folder / f"{page.name}.md"
    told = MADE_UNDER.search(path.read_text()) if path.exists() else None
    return told is not None and told["versions"] == _versions(page.room)


def _write_page(folder: Path, page: Page) -> None:
    for _, write in _page_out_of_step(folder, page):
        write()


def _all_out_of_step(folder: Path) -> dict[Path, Write]:
    stale: dict[Path, Write] = {}
    for page in PAGES.values():
        stale |= dict(_page_out_of_step(folder, page))
    index, text = folder / INDEX, index_text()
    if _differs(index, text):
        stale[index] = partial(_write, index, text)
    wanted = {INDEX, *(name for page in PAGES.values() for name in _files_of(page))}
    stale |= {path: path.unlink for path in folder.glob("*") if path.name not in wanted}
    return stale


def _files_of(page: Page) -> Iterator[str]:
    yield from (f"{page.name}.md", page.recording_name)
    yield from (page.picture_name(each) for each in exhibits(page))


def _page_out_of_step(folder: Path, page: Page) -> Iterator[tuple[Path, Write]]:
    """Files of one page that are not what the code would write."""
    recording = "".join(trace.recording for trace in traces(page))
    for name, text in {f"{page.name}.md": page_text(page), page.recording_name: recording}.items():
        if _differs(folder / name, text):
            yield folder / name, partial(_write, folder / name, text)
    for place, each in enumerate(exhibits(page)):
        path, drawn = folder / page.picture_name(each), figure(page, place)
        if carried_digest(path) != digest(drawn):
            yield path, partial(save, drawn, path, dpi=DPI, colours=COLOURS)


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text() != text


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
