"""`uv run python -m docs.generate [--check]`: writes the docs' pictures, tables and gallery.

With `--check` it writes nothing and says what is out of step; of the gallery it then makes a few
pages anew, and all with METRIC_TRACKER_FULL=1. A worked case of drill-down whose episode no longer
shows it is looked for anew, and remembered in `cases.json`; the gallery's episodes are remembered
by its recordings.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from docs.generate.cases import PINS, pinned
from docs.generate.charts import carried_digest, digest, save
from docs.generate.gallery import pages as gallery
from docs.generate.scenes import CASES
from docs.generate.sections import ASSETS, SECTIONS
from docs.generate.share_card import PATH, share_card
from openenv_kit.errors import require_name

DOCS = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(?P<start><!-- generated: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- /generated -->)", re.DOTALL
)


def filled(page: str) -> str:
    """A page with its generated parts as they have to be now.

    Raises:
        UnknownNameError: it asks for an unknown part; names all there are.
    """

    def fill(match: re.Match[str]) -> str:
        write = SECTIONS[require_name("section", match["name"], SECTIONS)]
        return f"{match['start']}\n{write()}\n\n{match['end']}"

    return BLOCK.sub(fill, page)


def out_of_step(docs: Path = DOCS) -> dict[Path, Callable[[], object]]:
    """Files that are not what the code would write, each with what writes it."""
    stale: dict[Path, Callable[[], object]] = {}
    for path in sorted(docs.glob("*.md")):
        page = path.read_text()
        if (text := filled(page)) != page:
            stale[path] = partial(path.write_text, text)
    for name, draw in ASSETS.items():
        path, figure = docs / "assets" / name, draw()
        if carried_digest(path) != digest(figure):
            stale[path] = partial(save, figure, path)
    pins = pinned(CASES)
    if not PINS.exists() or PINS.read_text() != pins:
        stale[PINS] = partial(PINS.write_text, pins)
    return stale


def card_out_of_step() -> dict[Path, Callable[[], object]]:
    """The picture of a shared link, if it is not what the code would draw."""
    card = share_card()
    return {} if carried_digest(PATH) == digest(card) else {PATH: partial(save, card, PATH)}


def main() -> int:
    """Write everything, or with `--check` say what is out of step and exit 1."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = out_of_step() | card_out_of_step() | gallery.out_of_step(full=None if check else True)
    for path, write in stale.items():
        if not check:
            write()
        print(f"{'out of step' if check else 'wrote'}: {path.relative_to(DOCS.parent)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
