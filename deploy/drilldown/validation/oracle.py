"""Shows that the full reward can be earned: plays three tasks with the reference policy.

The policy reads what an agent reads over the WebSocket. The exit code is 0 only if every task that
was started ended with success and the highest printable score. BASE_URL names a running server;
without it the scripted run starts its own.
"""

from __future__ import annotations

import re
import subprocess
import sys

END = re.compile(r"^\[END\] success=true steps=\d+ score=0\.99 ", re.MULTILINE)
"""A task that earned everything; printed scores are clamped to 0.99, so this stands for 1.0."""


def main() -> int:
    """Run the reference policy, repeat its output and judge it."""
    command = ("-m", "openenv_kit.agent.main", "--environment", "drilldown")
    run = subprocess.run(
        [sys.executable, *command, "--policy", "reference"], stdout=subprocess.PIPE, text=True
    )
    sys.stdout.write(run.stdout)
    started = run.stdout.count("[START] ")
    earned = len(END.findall(run.stdout))
    return 0 if run.returncode == 0 and started == earned > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
