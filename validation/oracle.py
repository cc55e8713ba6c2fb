"""Shows that the full reward can be earned: plays the named tasks with the reference policy.

The policy sees what an agent sees, tool results over the WebSocket, and no label. The exit code is
0 only if every task that was started ended with success and the highest printable score. BASE_URL
names a running server; without it the scripted run starts its own.
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
# Printed scores are clamped to 0.99, so this stands for 1.0.
FULL_SCORE_TEXT = "0.99"


def has_full_scores(output_lines: list[str]) -> bool:
    """Whether every [START] in a scripted run's output has an [END] with the full score."""
    started = sum(line.startswith("[START] ") for line in output_lines)
    ended = [match for line in output_lines if (match := END_LINE.match(line))]
    full = [end for end in ended if end["success"] == "true" and end["score"] == FULL_SCORE_TEXT]
    return started > 0 and started == len(ended) == len(full)


def main() -> int:
    """Runs the reference policy, repeats its output and judges it."""
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
