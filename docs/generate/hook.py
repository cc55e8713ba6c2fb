"""Hook of `mkdocs build` that adds generated tables, pictures and the gallery to the site.

A line `{{ NAME }}` in a page is replaced by the generated part of that name. The generated parts
are not written to `docs/` and not committed.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docs.generate.charts import encode_png
from docs.generate.gallery.pages import PAGES, iter_gallery_files
from docs.generate.sections import PICTURES, SECTIONS
from openenv_kit.errors import require_name

MARKER = re.compile(r"^\{\{ (?P<name>[\w-]+) \}\}$", re.M)
SAMPLE_PAGES = ("funnel-hourly_traffic_mix_shift",)
"""Pages of the small gallery, which takes seconds; the full gallery takes a minute or two."""
SMALL_GALLERY_VARIABLE = "DOCS_SMALL_GALLERY"
"""Environment variable; if it is set, the small gallery is built."""
MEASURED_FOLDER = Path(__file__).parents[2] / "research" / "benchmark_report" / "measured"
"""Folder that `python -m research.benchmark_report` writes: a page of tables and its pictures."""


def fill_page(page: str) -> str:
    """Return a page with its generated parts.

    Raises:
        UnknownNameError: a part of this name does not exist.
    """
    return MARKER.sub(lambda match: _section(match["name"]), page)


@cache
def _section(name: str) -> str:
    return SECTIONS[require_name("section", name, SECTIONS)]()


@cache
def _generated_files(page_names: tuple[str, ...]) -> dict[str, str | bytes]:
    """Return the generated files by their path in the site.

    They are generated once, so that `mkdocs serve` rebuilds edited pages fast.
    """
    files: dict[str, str | bytes] = {}
    for name, draw in PICTURES.items():
        files[f"assets/{name}"] = encode_png(draw())
    files.update(iter_gallery_files([PAGES[name] for name in page_names]))
    for path in filter(Path.is_file, MEASURED_FOLDER.rglob("*")):
        files[path.relative_to(MEASURED_FOLDER).as_posix()] = path.read_bytes()
    return files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures, the measured tables and the gallery."""
    page_names = SAMPLE_PAGES if os.environ.get(SMALL_GALLERY_VARIABLE) else tuple(PAGES)
    for path, content in _generated_files(page_names).items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Insert the generated parts of a page."""
    return fill_page(markdown)
