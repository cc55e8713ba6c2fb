"""Proves that the full reward can be earned, by playing the named tasks with the reference policy.

The policy reads tool results over the WebSocket and no labels, as a model does. The exit code is 0
only if every started task ended with success and the highest printable score. BASE_URL is the
address of a running server; without it, the run starts its own server.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
END_LINE = re.compile(
    r"^\[END\] success=(?P<success>true|false) steps=\d+ score=(?P<score>\d\.\d\d) "
)
# Printed scores are limited to 0.99, so this text means 1.0.
FULL_SCORE_TEXT = "0.99"


def has_full_scores(output_lines: list[str]) -> bool:
    """Return whether every [START] line of a run has an [END] line with the full score."""
    started = sum(line.startswith("[START] ") for line in output_lines)
    ended = [match for line in output_lines if (match := END_LINE.match(line))]
    full = [end for end in ended if end["success"] == "true" and end["score"] == FULL_SCORE_TEXT]
    return started > 0 and started == len(ended) == len(full)


def main() -> int:
    """Run the reference policy and print its output. Return the exit code."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "inference.py"), "--policy", "reference"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    sys.stdout.write(run.stdout)
    return 0 if run.returncode == 0 and has_full_scores(run.stdout.splitlines()) else 1


if __name__ == "__main__":
    sys.exit(main())
