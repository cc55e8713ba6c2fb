"""What `mkdocs build` adds to the pages in `docs/`: tables, pictures and the gallery.

A page asks for a part by a line `{{ NAME }}`. Nothing that is made here is written into `docs/`,
and nothing of it is committed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docs.generate.charts import png
from docs.generate.gallery.pages import PAGES, gallery
from docs.generate.sections import PICTURES, SECTIONS
from openenv_kit.errors import require_name

MARKER = re.compile(r"^\{\{ (?P<name>[\w-]+) \}\}$", re.M)
SAMPLE = ("funnel-hourly_traffic_mix_shift",)
"""Pages of a small gallery, which takes seconds; all of them take a minute or two."""
SMALL = "DOCS_SMALL_GALLERY"
MEASURED = Path(__file__).parents[2] / "research" / "benchmark_report" / "measured"
"""What `python -m research.benchmark_report` writes: a page of tables and its pictures."""


def filled(page: str) -> str:
    """A page with its generated parts.

    Raises:
        UnknownNameError: it asks for an unknown part; names all there are.
    """
    return MARKER.sub(lambda match: _section(match["name"]), page)


@cache
def _section(name: str) -> str:
    return SECTIONS[require_name("section", name, SECTIONS)]()


@cache
def _made(pages: tuple[str, ...]) -> dict[str, str | bytes]:
    """Files by their path in the site; made once, also while pages are being edited."""

    def each() -> Iterator[tuple[str, str | bytes]]:
        yield from ((f"assets/{name}", png(draw())) for name, draw in PICTURES.items())
        yield from gallery([PAGES[name] for name in pages])
        for path in filter(Path.is_file, MEASURED.rglob("*")):
            yield path.relative_to(MEASURED).as_posix(), path.read_bytes()

    return dict(each())


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures, the measured tables and the gallery."""
    pages = SAMPLE if os.environ.get(SMALL) else tuple(PAGES)
    for path, content in _made(pages).items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the generated parts of a page."""
    return filled(markdown)
