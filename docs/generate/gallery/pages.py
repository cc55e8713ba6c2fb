"""Generates the gallery's pages, pictures and recordings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple
from urllib.parse import quote

from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, MaxNLocator

from docs.generate.charts import encode_png
from docs.generate.gallery.funnels import FunnelGallery
from docs.generate.gallery.gallery_part import GalleryPart, LevelExample, find_examples
from docs.generate.gallery.trajectory import (
    REFERENCE_POLICY,
    Trajectory,
    format_trajectory,
    play_reference,
)
from openenv_kit.datasets.export_rows import measure_baseline_scores

INDEX_FILENAME = "index.md"
DEBUGGER_URL = "http://127.0.0.1:8000/web/"
"""Debugger of the server that the documentation's commands start."""
GALLERY_PARTS: tuple[GalleryPart, ...] = (FunnelGallery(),)
PICTURE_DPI = 100
PICTURE_COLOURS = 64
"""Number of colours of a picture, which keeps the files small."""
MAX_TICKS = 4

INTRODUCTION = """\
# Gallery

Examples of what a model has to find in each environment: a page for each family, with a section \
for each level on which it occurs. A section has a picture, the expected report and an episode of \
the scripted policy `reference`, which reads the same replies as a model. The pages are generated \
with the documentation from named tasks and tasks of a train split, so they show current tasks and \
none that is used for evaluation.

Replies are shortened, and omissions are stated. The complete episodes are in the recording of \
each page: `metric-tracker replay` replays them, and the [debugger](../debugger.md#addresses) \
shows them on the tab *Runs*, where you open the file."""


@dataclass(frozen=True)
class Page:
    """The page of a family.

    Attributes:
        part: the part of the gallery that the page belongs to.
        family: name of the family.
    """

    part: GalleryPart
    family: str

    @property
    def name(self) -> str:
        """Name of the page's files, without suffix."""
        return f"{self.part.name}-{self.family}"

    def picture_name(self, level: str) -> str:
        """Return the filename of a level's picture."""
        return f"{self.name}-{level}.png"

    @property
    def recording_name(self) -> str:
        """Filename of the recording with the page's episodes."""
        return f"{self.name}.jsonl"


PAGES: dict[str, Page] = {
    page.name: page
    for part in GALLERY_PARTS
    for page in (Page(part, family) for family in part.families)
}
"""Every page by its name, in the order of the index."""


@cache
def examples_of(page: Page) -> list[LevelExample]:
    """Return the episodes that a page shows, one for each level."""
    return find_examples(page.part, page.family)


@cache
def trajectories_of(page: Page) -> list[Trajectory]:
    """Return the reference policy's trajectories of a page's episodes."""
    part = page.part
    return [
        play_reference(part.environment, example.reset, part.relevant_result)
        for example in examples_of(page)
    ]


def draw_picture(example: LevelExample) -> Figure:
    """Draw the picture of an example, with few ticks because it is small."""
    figure = example.episode.draw()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_locator(), AutoLocator):
                axis.set_major_locator(MaxNLocator(MAX_TICKS))
    return figure


def page_markdown(page: Page) -> str:
    """Return the text of a page."""
    family = page.part.families[page.family]
    sections = [_section(page, position) for position in range(len(examples_of(page)))]
    versions = ", ".join(
        f"{name} {version}" for name, version in page.part.environment.versions.items()
    )
    return (
        "\n\n".join(
            [
                f"# {family.title}",
                f"*[Gallery](index.md): {page.part.title}, `{page.family}`*",
                f"## What it looks like\n\n{family.appearance}",
                f"## How to find it\n\n{family.solution}",
                *sections,
                f"Generated with {versions}.",
            ]
        )
        + "\n"
    )


def _section(page: Page, position: int) -> str:
    """Return the section of a level: description, picture, expected report and trajectory."""
    part, example = page.part, examples_of(page)[position]
    trajectory = trajectories_of(page)[position]
    scores = measure_baseline_scores(part.environment, example.reset)
    other_scores = ", ".join(
        f"`{name}` {score:.2f}" for name, score in scores.items() if name != REFERENCE_POLICY
    )
    reset = ", ".join(f"{name}={_format_value(value)}" for name, value in example.reset.items())
    url = f"{DEBUGGER_URL}?reset={quote(json.dumps(example.reset))}"
    picture_name = page.picture_name(example.level)
    return "\n\n".join(
        [
            f"## Level `{example.level}`",
            part.levels[example.level],
            f"The example is `reset({reset})`: [play it]({url}) on your server.",
            f"![{page.family} on {example.level}]({picture_name})",
            example.episode.answer,
            f"The reference policy makes {len(trajectory.calls)} calls and scores "
            f"{trajectory.score:.2f}. On the same episode: {other_scores}. "
            f"[Recording]({page.recording_name}), run {position + 1} of "
            f"{len(examples_of(page))}.",
            f"```text\n{format_trajectory(trajectory, example.episode.is_relevant_call)}\n```",
        ]
    )


def _format_value(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def index_markdown(pages: Sequence[Page]) -> str:
    """Return the text of the index, with a link to each page."""
    sections = [section for part in GALLERY_PARTS for section in _index_sections(part, pages)]
    return "\n\n".join([INTRODUCTION, *sections]) + "\n"


def _index_sections(part: GalleryPart, pages: Sequence[Page]) -> Iterator[str]:
    yield f"## {part.title}\n\n{part.introduction}"
    for page in pages:
        if page.part is not part:
            continue
        family, examples = part.families[page.family], examples_of(page)
        picture_name = page.picture_name(examples[0].level)
        image = f"![{page.family}]({picture_name}){{ .thumb loading=lazy }}"
        link = f"[{image}]({page.name}.md) **[{family.title}]({page.name}.md)**"
        levels = ", ".join(
            f"[{example.level}]({page.name}.md#level-{example.level})" for example in examples
        )
        yield f"{link}. {family.appearance} Levels: {levels}."


class GalleryFile(NamedTuple):
    """A file of the gallery and its path in the site."""

    path: str
    content: str | bytes


def iter_gallery_files(pages: Sequence[Page]) -> Iterator[GalleryFile]:
    """Yield the index, then each page with its recording and pictures."""
    yield GalleryFile(f"gallery/{INDEX_FILENAME}", index_markdown(pages))
    for page in pages:
        yield GalleryFile(f"gallery/{page.name}.md", page_markdown(page))
        recording = "".join(trajectory.recording for trajectory in trajectories_of(page))
        yield GalleryFile(f"gallery/{page.recording_name}", recording)
        for example in examples_of(page):
            picture = encode_png(draw_picture(example), dpi=PICTURE_DPI, colours=PICTURE_COLOURS)
            yield GalleryFile(f"gallery/{page.picture_name(example.level)}", picture)
