"""The server process of a run that was given no server: `python -m … PORT`; ends with its parent.

Its standard input is a pipe from the parent: the end of file means that the parent is gone,
however it ended.
"""

from __future__ import annotations

import os
import sys
import threading


def _exit_when_parent_ends() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_exit_when_parent_ends, daemon=True).start()
    # This server has no page. The framework does without Gradio where that is not installed, and
    # otherwise loads it: half of the time that a server takes to start.
    sys.modules["gradio"] = None  # type: ignore[assignment]
    from openenv_kit.serving.app import main

    main(["--host", "127.0.0.1", "--port", sys.argv[1], "--workers", "1"])
