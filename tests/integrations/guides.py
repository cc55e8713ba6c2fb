"""Runs the blocks of a guide that its page leaves to the trainer's own environment."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from documented import PYTHON, blocks_of  # noqa: E402

HERE = "check-integrations runs it"


def run_guide(page, folder):
    """Run the page's marked Python blocks in order, in a folder; how many ran."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = [block for block in blocks_of(page, text) if HERE in block.words]
    assert all(block.language in PYTHON for block in blocks)
    before = Path.cwd()
    os.chdir(folder)
    try:
        for block in blocks:
            exec(compile(block.text, block.place, "exec"), {})
    finally:
        os.chdir(before)
    return len(blocks)
