"""Runs the blocks of a page that are left to a trainer's own environment, as they are written."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from documented import PYTHON, blocks_of  # noqa: E402

HERE = "check-integrations runs it"
"""Marks a block of a trainer's own guide."""


def run_guide(page, folder):
    """Run the marked Python blocks of a trainer's guide in order, in a folder; how many ran."""
    return _run(f"docs/{page}", HERE, folder)


def run_readme(trainer, folder):
    """Run the README's block of a trainer in a folder; how many ran."""
    return _run("README.md", f"check-integrations {trainer} runs it", folder)


def _run(page, marker, folder):
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = [block for block in blocks_of(page, text) if marker in block.words]
    assert all(block.language in PYTHON for block in blocks)
    before = Path.cwd()
    os.chdir(folder)
    try:
        for block in blocks:
            # The line of the page in tracebacks; a module's name, for what looks itself up by it.
            padded = "\n" * block.line + block.text
            exec(compile(padded, page, "exec"), {"__name__": "__page__"})
    finally:
        os.chdir(before)
    return len(blocks)
