"""`uv run python -m docs.generate [--check]`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from docs.generate.sections import ASSETS, SECTIONS

DOCS = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(?P<start><!-- generated: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- /generated -->)", re.DOTALL
)


class UnknownSectionError(KeyError):
    """A page asks for a section that nobody writes."""


def filled(page: str) -> str:
    """A page with its generated parts as they have to be now.

    Raises:
        UnknownSectionError: it asks for an unknown part; names all there are.
    """

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in SECTIONS:
            raise UnknownSectionError(f"{name!r}; there are {', '.join(SECTIONS)}")
        return f"{match['start']}\n{SECTIONS[name]()}\n\n{match['end']}"

    return BLOCK.sub(fill, page)


def wanted(docs: Path = DOCS) -> dict[Path, str]:
    """Text of every page with generated parts, and of every plot, as they have to be now."""
    pages = {path: path.read_text() for path in sorted(docs.glob("*.md"))}
    texts = {path: filled(text) for path, text in pages.items() if BLOCK.search(text)}
    return texts | {docs / "assets" / name: draw() for name, draw in ASSETS.items()}


def out_of_step(docs: Path = DOCS) -> list[Path]:
    """Files that are not what the code would write."""
    return [
        path for path, text in wanted(docs).items() if not path.exists() or path.read_text() != text
    ]


def main() -> int:
    """Write everything, or with `--check` say what is out of step and exit 1."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = out_of_step()
    for path in stale:
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted()[path])
        print(f"{'out of step' if check else 'wrote'}: {path.relative_to(DOCS.parent)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
