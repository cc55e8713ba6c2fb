"""The gallery's pages, pictures and recordings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote

from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, MaxNLocator

from docs.generate.charts import png
from docs.generate.gallery.funnels import Funnels
from docs.generate.gallery.rooms import Room, Shown, shown
from docs.generate.gallery.trace import REFERENCE, Trace, play, trace_text
from openenv_kit.datasets.export_rows import measure_baseline_scores

INDEX = "index.md"
HERE = "http://127.0.0.1:8000/web/"  # of the server that the docs start
ROOMS: tuple[Room, ...] = (Funnels(),)
DPI, COLOURS = 100, 64
"""Of the pictures, so that all of them together stay small."""
MOST_TICKS = 4

OPENING = """\
# Gallery

What an agent meets in each environment: a page for each family, with a section for each level on \
which it occurs. A section has a picture, the right answer, and the play of the scripted policy \
`reference`, which reads what a model is told and nothing else. All of it is written by \
the build of these pages from named tasks and from tasks of a train split, so it is of today's \
tasks and gives away none that measures.

Replies are shortened, and what is left out is named. The whole play is in the recording of its \
page: `metric-tracker replay` plays it again, and the [debugger](../debugger.md#addresses) shows \
it, under *Watch* or at `/web/?run=` with its address."""


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
    """What a page shows, level by level."""
    return shown(page.room, page.family)


@cache
def traces(page: Page) -> list[Trace]:
    """The reference's plays of what a page shows."""
    room = page.room
    return [play(room.environment, each.reset, room.shown) for each in exhibits(page)]


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
    head = f"# {family.title}\n\n*[Gallery](index.md): {page.room.title}, `{page.family}`*"
    parts = [
        f"## What it looks like\n\n{family.looks}",
        f"## How it is solved\n\n{family.way}",
        *sections,
    ]
    versions = ", ".join(f"{name} {of}" for name, of in page.room.environment.versions.items())
    return "\n\n".join([head, *parts, f"Made under {versions}."]) + "\n"


def _section(page: Page, place: int) -> str:
    """A level: its numbers, its episode, the picture, the answer, the reference's play."""
    each, trace, room = exhibits(page)[place], traces(page)[place], page.room
    scores = measure_baseline_scores(room.environment, each.reset)
    others = ", ".join(
        f"`{name}` {score:.2f}" for name, score in scores.items() if name != REFERENCE
    )
    reset = ", ".join(
        f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}"
        for name, value in each.reset.items()
    )
    asked = quote(json.dumps(each.reset))
    return "\n\n".join(
        [
            f"## Level `{each.level}`",
            room.levels[each.level],
            f"The example is `reset({reset})`: [play it]({HERE}?reset={asked}) on your server.",
            f"![{page.family} on {each.level}]({page.picture_name(each)})",
            each.exhibit.answer,
            f"The reference needs {len(trace.calls)} calls and scores {trace.score:.2f}. On the "
            f"same episode: {others}. [Recording]({page.recording_name}), run {place + 1} of "
            f"{len(exhibits(page))}.",
            f"```text\n{trace_text(trace, each.exhibit.concerns)}\n```",
        ]
    )


def index_text(pages: Sequence[Page]) -> str:
    """The index, which leads to every page."""
    parts = [part for room in ROOMS for part in _index_of(room, pages)]
    return "\n\n".join([OPENING, *parts]) + "\n"


def _index_of(room: Room, pages: Sequence[Page]) -> Iterator[str]:
    yield f"## {room.title}\n\n{room.opening}"
    for page in pages:
        if page.room is not room:
            continue
        family, seen = room.families[page.family], exhibits(page)
        shot = f"![{page.family}]({page.picture_name(seen[0])}){{ .thumb loading=lazy }}"
        thumb = f"[{shot}]({page.name}.md)"
        levels = ", ".join(f"[{each.level}]({page.name}.md#level-{each.level})" for each in seen)
        yield f"{thumb} **[{family.title}]({page.name}.md)**. {family.looks} Levels: {levels}."


def gallery(pages: Sequence[Page]) -> Iterator[tuple[str, str | bytes]]:
    """Files of the gallery by their path: the index, then each page with pictures and plays."""
    yield f"gallery/{INDEX}", index_text(pages)
    for page in pages:
        yield f"gallery/{page.name}.md", page_text(page)
        yield f"gallery/{page.recording_name}", "".join(each.recording for each in traces(page))
        for place, each in enumerate(exhibits(page)):
            picture = png(figure(page, place), dpi=DPI, colours=COLOURS)
            yield f"gallery/{page.picture_name(each)}", picture
