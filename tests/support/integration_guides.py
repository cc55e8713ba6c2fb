"""Runs the code blocks of a page that need a trainer's own environment."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # research, behind what is installed

from support.documentation_blocks import PYTHON, blocks_of  # noqa: E402

GUIDE = "docs/training.md"
ENVIRONMENTS = ("metric_tracker_rl", "drilldown", "firewatch")


def run_blocks(trainer, folder, page=GUIDE):
    """Run a page's Python blocks for a trainer in a folder; return how many ran."""
    text = (ROOT / page).read_text(encoding="utf-8")
    marker = f"check_integrations {trainer} runs it"
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
